"""Faults of a running environment, one for each name, for people who break it: ``python -m rehearsal fault``.

The functions are those that the scenarios inject. A fault either happens once, or lasts until it is healed.

Left out: a disk that fills up (a machine's disk is a folder of this host), a stalled EFS (there is no NFS),
credentials that expire before their time.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

from rehearsal.aws import fault_client
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.chaos.faults import clocks, database, network, zones
from rehearsal.deployment.host import CONTROLLER_UNIT, SCHEDULER_UNIT, Host
from rehearsal.errors import RehearsalError
from rehearsal.linux.processes import Process
from rehearsal.region import Region

LOGIN_DELAY = 5
"""Seconds that each login takes longer with slow logins."""
CLOCK_AHEAD = 300.0
"""Seconds by which the clock is wrong."""
ALL_CALLS = 1_000_000
"""Calls that are throttled until the fault is healed; more than an environment makes in a day."""
AWAY = 86_400.0
"""Seconds for which metadata are away until the fault is healed."""
THROTTLED = ("autoscaling", "monitoring", "sqs", "ssm")
"""Services whose calls can be throttled."""


class Target(StrEnum):
    """What a fault needs to be given."""

    HOST = "HOST"
    SCHEDULER = "SCHEDULER HOST"
    ZONE = "ZONE"
    NOTHING = ""


@dataclass(frozen=True)
class Fault:
    """One fault."""

    name: str
    target: Target
    description: str
    inject: Callable[[Region, Host | None, str], AbstractContextManager[None]]
    """Takes the host or the zone, as the target says, in the region's network."""
    lasts: bool = True
    """Whether it is healed at the end of the block; otherwise it has happened when the block begins."""


def of_host(
    act: Callable[[Host], AbstractContextManager[None]],
) -> Callable[..., AbstractContextManager[None]]:
    """A fault that lasts, of a host."""

    def inject(_: Region, host: Host | None, __: str) -> AbstractContextManager[None]:
        if host is None:
            raise RehearsalError("This fault needs a host.")
        return act(host)

    return inject


def once(act: Callable[[Host], None]) -> Callable[..., AbstractContextManager[None]]:
    """A fault of a host that happens once."""

    @contextmanager
    def happens(host: Host) -> Iterator[None]:
        act(host)
        yield

    return of_host(happens)


def of_database(
    act: Callable[[Postgres], AbstractContextManager[None]],
) -> Callable[..., AbstractContextManager[None]]:
    """A fault of the database server."""

    def inject(region: Region, _: Host | None, __: str) -> AbstractContextManager[None]:
        return act(Postgres(region))

    return inject


def throttled(service: str) -> Callable[..., AbstractContextManager[None]]:
    """Refuse every call of a service."""

    @contextmanager
    def inject(*_: object) -> Iterator[None]:
        fault_client.throttle(service, ALL_CALLS)
        try:
            yield
        finally:
            fault_client.throttle(service, 0)

    return inject


@contextmanager
def metadata_away(host: Host) -> Iterator[None]:
    """Leave the host's requests to the metadata service unanswered."""
    fault_client.metadata_away(host.address, AWAY)
    try:
        yield
    finally:
        fault_client.metadata_away(host.address, 0)


def killed(unit: str) -> Callable[[Host], None]:
    """Kill a unit's main process."""

    def act(host: Host) -> None:
        process = Process.of(host.main_process(unit))
        if process is not None:
            process.send(signal.SIGKILL)

    return act


@contextmanager
def zone_cut_off(region: Region, _: Host | None, zone: str) -> Iterator[None]:
    """Cut a zone off."""
    with zones.cut_off(region, zone):
        yield


FAULTS = (
    Fault("host_killed", Target.HOST, "the machine loses its power", once(Host.cut_power), lasts=False),
    Fault("host_frozen", Target.HOST, "the machine stands still", of_host(network.frozen)),
    Fault(
        "database_unreachable",
        Target.HOST,
        "no packet to or from the database",
        of_host(network.cut_from_database),
    ),
    Fault("aws_unreachable", Target.HOST, "no packet to the AWS APIs", of_host(network.cut_from_aws)),
    Fault("metadata_away", Target.HOST, "instance metadata do not answer", of_host(metadata_away)),
    Fault(
        "scheduler_killed",
        Target.SCHEDULER,
        "SIGKILL for the scheduler",
        once(killed(SCHEDULER_UNIT)),
        lasts=False,
    ),
    Fault(
        "controller_killed",
        Target.SCHEDULER,
        "SIGKILL for the controller",
        once(killed(CONTROLLER_UNIT)),
        lasts=False,
    ),
    Fault(
        "clock_ahead",
        Target.SCHEDULER,
        "the wall clock of the scheduler and its controller is five minutes ahead",
        of_host(lambda host: clocks.skewed(host, CLOCK_AHEAD)),
    ),
    Fault(
        "spot_notice",
        Target.HOST,
        "two minutes until the instance ends",
        once(lambda host: fault_client.spot_notice(host.name)),
        lasts=False,
    ),
    Fault(
        "rebalance",
        Target.HOST,
        "EC2 recommends to replace the instance",
        once(lambda host: fault_client.rebalance(host.name)),
        lasts=False,
    ),
    Fault("zone_cut_off", Target.ZONE, "no packet between the zone and the rest", zone_cut_off),
    Fault("database_stopped", Target.NOTHING, "PostgreSQL does not run", of_database(database.stopped)),
    Fault(
        "slow_logins",
        Target.NOTHING,
        "each login to the database takes five seconds longer",
        of_database(lambda server: database.slow_logins(server, LOGIN_DELAY)),
    ),
    *(
        Fault(
            f"{service}_throttled", Target.NOTHING, f"each call of {service} is throttled", throttled(service)
        )
        for service in THROTTLED
    ),
)


def find(name: str) -> Fault:
    """The fault of this name.

    :raises RehearsalError: there is none.
    """
    found = {fault.name: fault for fault in FAULTS}
    if name not in found:
        raise RehearsalError(f"No fault is named {name!r}. There are: {', '.join(found)}.")
    return found[name]


def heal(region: Region, hosts: list[Host]) -> None:
    """End every fault that lasts, such as one whose command was killed. In the region's network."""
    zones.heal(region)
    for host in hosts:
        network.heal(host)
        clocks.heal(host)
        fault_client.metadata_away(host.address, 0)
    for service in THROTTLED:
        fault_client.throttle(service, 0)
    server = Postgres(region)
    if server.machine.running():
        server.machine.execute(["systemctl", "start", database.UNIT])
        with suppress(RehearsalError):
            database.usual_logins(server)
