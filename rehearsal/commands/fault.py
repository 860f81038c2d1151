"""``python -m rehearsal fault``: lists the faults, injects one into the environment that runs, heals them."""

from __future__ import annotations

import json
import sys
import threading
from typing import TextIO

from rehearsal.aws.instances import list_instances
from rehearsal.chaos.faults.by_name import FAULTS, Fault, Target, find, heal
from rehearsal.commands.hosts import SERVER_ROLE, chosen, listed, running
from rehearsal.deployment.host import Host
from rehearsal.deployment.instances import ROLE_TAG
from rehearsal.errors import RehearsalError
from rehearsal.linux.network import Network
from rehearsal.region import Region

HEAL = "heal"
LEADER = "leader"
"""Names the scheduler host that leads, beside roles and instances."""


def listing() -> str:
    """One line for each fault: name, what it needs, description."""
    names = max(len(fault.name) for fault in FAULTS)
    targets = max(len(target) for target in Target)
    return "\n".join(
        f"{fault.name:<{names}}  {fault.target:<{targets}}  {fault.description}"
        + ("" if fault.lasts else " (once)")
        for fault in FAULTS
    )


def fault(
    region: Region, name: str, target: str = "", seconds: float | None = None, out: TextIO = sys.stdout
) -> int:
    """List the faults, or inject one and heal it at the end.

    :param target: a host or a zone, as the fault needs it.
    :param seconds: until it is healed; None: until Ctrl-C.
    :returns: the exit status.
    :raises RehearsalError: the fault, the host or the zone does not exist, or no machine runs.
    """
    if not name:
        _say(out, listing())
        return 0
    known = None if name == HEAL else find(name)
    with Network(region).visit():
        if known is None:
            heal(region, _instances(region))
            _say(out, "every fault is healed")
            return 0
        host = _host(region, known, target)
        with known.inject(region, host, target):
            _say(
                out,
                f"{known.name}: {known.description}"
                + (f", {host.name}" if host else f", {target}" if target else ""),
            )
            if known.lasts:
                _wait(seconds, out)
    if known.lasts:
        _say(out, f"{known.name} is healed")
    return 0


def _wait(seconds: float | None, out: TextIO) -> None:
    _say(out, "healed at Ctrl-C" if seconds is None else f"healed after {seconds:g} s")
    try:
        threading.Event().wait(seconds)
    except KeyboardInterrupt:
        _say(out, "")


def _host(region: Region, known: Fault, word: str) -> Host | None:
    """The host that a fault is injected into; None for a fault that needs none."""
    if known.target in (Target.ZONE, Target.NOTHING):
        if bool(word) != (known.target is Target.ZONE):
            needs = "a zone such as us-east-1a" if known.target is Target.ZONE else "nothing else"
            raise RehearsalError(f"The fault {known.name} needs {needs}: {_command(region, known)}.")
        return None
    instances = _instances(region)
    if word == LEADER:
        return leader(instances)
    every = running(region)
    if not word:
        raise RehearsalError(
            f"The fault {known.name} needs a host: {_command(region, known)}. There are: {listed(every)}."
        )
    first = chosen([each for each in every if each.role != SERVER_ROLE], word)[0]
    if known.target is Target.SCHEDULER and first.role != "scheduler":
        raise RehearsalError(f"The fault {known.name} needs a scheduler host; {first} is not one.")
    return next(each for each in instances if each.name == first.name)


def leader(hosts: list[Host]) -> Host:
    """The host that leads, as the failover controllers say.

    :raises RehearsalError: none does.
    """
    for host in hosts:
        asked = host.machine.execute(["airkiln", "failover", "status", "--json"], check=False)
        if asked.returncode == 0 and (name := json.loads(asked.stdout).get("leader")):
            for each in hosts:
                if each.name == name:
                    return each
    raise RehearsalError("No scheduler host leads; see `python -m rehearsal status`.")


def _instances(region: Region) -> list[Host]:
    """The instances that have a role and run, scheduler hosts first."""
    found = [each for each in list_instances("running") if each["tags"].get(ROLE_TAG)]
    found.sort(key=lambda each: each["tags"][ROLE_TAG] != "scheduler")
    return [Host(region, str(each["InstanceId"]), str(each["PrivateIpAddress"])) for each in found]


def _command(region: Region, known: Fault) -> str:
    """A command that injects it."""
    given = {Target.HOST: "HOST=worker", Target.SCHEDULER: "HOST=leader", Target.ZONE: "ZONE=us-east-1a"}
    return region.make("rehearse-fault", f"FAULT={known.name}", *filter(None, [given.get(known.target, "")]))


def _say(out: TextIO, text: str) -> None:
    out.write(text + "\n")
    out.flush()
