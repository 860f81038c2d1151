"""Faults around a machine: packets that are dropped, and a machine that is frozen.

Packets are dropped where they arrive, so that the sender gets no error. Those of one unit are dropped where
they leave, because only there the unit is known; TCP sends them again without an error too. The rules are in
a table of their own in the rehearsal's network namespaces. A machine is frozen by its control group, every
process between two instructions; the kernel is the real host's and still acknowledges TCP segments that
arrive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from rehearsal.aws.services.rds.postgres import NAME as POSTGRES_MACHINE
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import CONTROLLER_UNIT, SCHEDULER_UNIT, Host
from rehearsal.linux.addresses import ENDPOINT, ENDPOINT_PORT, POSTGRES
from rehearsal.linux.cgroups import CGROUP_ROOT, hierarchies
from rehearsal.linux.machine import Machine
from rehearsal.linux.network import NETNS
from rehearsal.linux.processes import run

TABLE = "airkiln_fault"


@contextmanager
def dropping(namespace: Path, source: str | IPv4Address, match: str = "") -> Iterator[None]:
    """Drop what arrives in a network namespace from an address.

    :param namespace: the namespace's file.
    :param match: further conditions of the nftables rule, such as ``tcp dport 5432``.
    """
    with _table(namespace, "input", f"ip saddr {source} {match} counter drop"):
        yield


@contextmanager
def cut_from_database(host: Host, *, towards: bool = True, back: bool = True) -> Iterator[None]:
    """Lose what the host sends to the database, what the database sends to it, or both."""
    server = network_of(Machine(host.region, POSTGRES_MACHINE))
    with ExitStack() as rules:
        if towards:
            rules.enter_context(dropping(server, host.address, "tcp dport 5432"))
        if back:
            rules.enter_context(dropping(network_of(host.machine), POSTGRES, "tcp sport 5432"))
        yield


@contextmanager
def cut_from_aws(host: Host) -> Iterator[None]:
    """Lose what the host sends to the AWS APIs, the broker among them."""
    with dropping(
        NETNS / host.region.namespace, host.address, f"ip daddr {ENDPOINT} tcp dport {ENDPOINT_PORT}"
    ):
        yield


@contextmanager
def cut_off_from_broker(_: Cluster, leader: Host) -> Iterator[float]:
    """Lose what the leader's scheduler and controller send to the broker; a fault of a leader (`schedulers`).

    The emulated AWS serves everything at one address, but of its APIs a scheduler uses the broker alone, and
    its controller asks for nothing else before it reports its host. Other units are not cut off.
    """
    to = f"ip daddr {ENDPOINT} tcp dport {ENDPOINT_PORT}"
    rules = [f"{of_unit(leader, unit)} {to} counter drop" for unit in (SCHEDULER_UNIT, CONTROLLER_UNIT)]
    at = time.monotonic()
    with _table(network_of(leader.machine), "output", *rules):
        yield at


def of_unit(host: Host, unit: str) -> str:
    """The condition of an nftables rule that a packet is of a socket which a unit has opened.

    nft takes the path below /sys/fs/cgroup, and the kernel the depth below the root of the hierarchy.
    """
    group = host.unit_group(unit)
    hierarchy = next(each for each in hierarchies() if group.is_relative_to(each))
    depth = len(group.relative_to(hierarchy).parts)
    return f'socket cgroupv2 level {depth} "{group.relative_to(CGROUP_ROOT)}"'


@contextmanager
def frozen(host: Host) -> Iterator[None]:
    """Freeze the machine for the time of the block."""
    freeze(host)
    try:
        yield
    finally:
        thaw(host)


def freeze(host: Host) -> None:
    """Stop every process of the machine; returns when all have stopped."""
    host.machine.freeze()


def thaw(host: Host) -> None:
    """Let the machine continue; no effect on one that runs."""
    host.machine.thaw()


def heal(host: Host) -> None:
    """Remove what an interrupted test left: rules at either end, and the freeze."""
    for machine in (host.machine, Machine(host.region, POSTGRES_MACHINE)):
        if machine.leader() is not None:
            _nft(network_of(machine), f"delete table ip {TABLE}", check=False)
    _nft(NETNS / host.region.namespace, f"delete table ip {TABLE}", check=False)
    thaw(host)


def network_of(machine: Machine) -> Path:
    """The network namespace that a running machine is in."""
    return Path(f"/proc/{machine.leader()}/ns/net")


@contextmanager
def _table(namespace: Path, hook: str, *rules: str) -> Iterator[None]:
    lines = [
        f"table ip {TABLE} {{",
        "chain rules {",
        f"type filter hook {hook} priority -300;",
        *rules,
        "}",
        "}",
    ]
    _nft(namespace, "\n".join(lines))
    try:
        yield
    finally:
        _nft(namespace, f"delete table ip {TABLE}", check=False)  # the machine may be gone


def _nft(namespace: Path, rules: str, *, check: bool = True) -> None:
    run(["nsenter", f"--net={namespace}", "nft", "-f", "-"], text=rules + "\n", check=check)
