"""Faults around a machine: packets that are dropped, and a machine that is frozen.

Packets are dropped where they arrive, so that the sender gets no error. The rules are in a table of their own
in the rehearsal's network namespaces. A machine is frozen by its control group, every process between two
instructions; the kernel is the real host's and still acknowledges TCP segments that arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from rehearsal.aws.services.rds.postgres import NAME as POSTGRES_MACHINE
from rehearsal.deployment.host import Host
from rehearsal.linux.addresses import ENDPOINT, ENDPOINT_PORT, POSTGRES
from rehearsal.linux.machine import Machine
from rehearsal.linux.network import NETNS
from rehearsal.linux.processes import run
from rehearsal.waiting import wait_until

TABLE = "airkiln_fault"


@contextmanager
def dropping(namespace: Path, source: str | IPv4Address, match: str = "") -> Iterator[None]:
    """Drop what arrives in a network namespace from an address.

    :param namespace: the namespace's file.
    :param match: further conditions of the nftables rule, such as ``tcp dport 5432``.
    """
    rule = f"ip saddr {source} {match} counter drop"
    hook = "type filter hook input priority -300;"
    _nft(namespace, f"table ip {TABLE} {{\n chain in {{\n {hook}\n {rule}\n }}\n}}")
    try:
        yield
    finally:
        _nft(namespace, f"delete table ip {TABLE}", check=False)  # the machine may be gone


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
def frozen(host: Host) -> Iterator[None]:
    """Freeze the machine for the time of the block."""
    freeze(host)
    try:
        yield
    finally:
        thaw(host)


def freeze(host: Host, seconds: float = 5) -> None:
    """Stop every process of the machine; returns when all have stopped."""
    (host.group / "cgroup.freeze").write_text("1")
    events = host.group / "cgroup.events"
    wait_until(f"{host.name} is frozen", lambda: "frozen 1" in events.read_text(), seconds, every=0.001)


def thaw(host: Host) -> None:
    """Let the machine continue; no effect on one that runs."""
    (host.group / "cgroup.freeze").write_text("0")


def heal(host: Host) -> None:
    """Remove what an interrupted test left: rules at either end, and the freeze."""
    for machine in (host.machine, Machine(host.region, POSTGRES_MACHINE)):
        if machine.leader() is not None:
            _nft(network_of(machine), f"delete table ip {TABLE}", check=False)
    _nft(NETNS / host.region.namespace, f"delete table ip {TABLE}", check=False)
    if (host.group / "cgroup.freeze").exists():
        thaw(host)


def network_of(machine: Machine) -> Path:
    """The network namespace that a running machine is in."""
    return Path(f"/proc/{machine.leader()}/ns/net")


def _nft(namespace: Path, rules: str, *, check: bool = True) -> None:
    run(["nsenter", f"--net={namespace}", "nft", "-f", "-"], text=rules + "\n", check=check)
