"""Ways in which a worker ends or changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from rehearsal.aws import fault_client
from rehearsal.deployment.host import Host
from rehearsal.deployment.parameters import parameter, put
from rehearsal.deployment.worker_group import WorkerGroup, generations
from rehearsal.errors import RehearsalError

SPOT_SECONDS = 120.0
"""From a Spot notice to the end of the instance."""
SHORT_SPOT_SECONDS = 55.0
"""A notice that saves a minute; the lifecycle daemon clears what runs from 45 s before the end."""
RELOADED = "AIRFLOW__CELERY__WORKER_UMASK"
"""A parameter that only workers read; it changes nothing that a task sees."""
RUNS = ("active", "activating", "deactivating")
"""Values of ActiveState of a unit that has a process."""

Inject = Callable[[WorkerGroup, Host], None]


@dataclass(frozen=True)
class WorkerFault:
    """One way in which a worker ends."""

    name: str
    inject: Inject
    over: Callable[[WorkerGroup, Host], bool]
    """Whether the worker has ended."""
    restore: Inject = field(default=lambda _group, _host: None)
    """Have the worker take tasks again, where its host stays."""
    may_rerun: bool = False
    """Whether a task instance may be cleared, and run again."""
    says: str = ""
    """What the lifecycle daemon must log meanwhile, where a dependency is degraded."""


def gone(group: WorkerGroup, host: Host) -> bool:
    """Whether the host's machine does not exist any more."""
    return not (group.region.machines / host.name).exists()


def terminate(group: WorkerGroup, host: Host) -> None:
    """Scale in: the group terminates the instance, with its hook."""
    group.end(host, replace=False)


def spot_notice(seconds: float) -> Inject:
    """Send a Spot notice of so many seconds."""

    def inject(_: WorkerGroup, host: Host) -> None:
        fault_client.spot_notice(host.name, seconds)

    return inject


def _stop(_: WorkerGroup, host: Host) -> None:
    host.systemctl("stop", "--no-block", "airflow-worker@*.service")


def _stopped(_: WorkerGroup, host: Host) -> bool:
    return not generations(host, *RUNS, "reloading")


def _start(_: WorkerGroup, host: Host) -> None:
    host.systemctl("start", "airflow-worker@1.service")


def _reload(_: WorkerGroup, host: Host) -> None:
    mask = int(
        parameter(f"worker/{RELOADED}") or "0", 8
    )  # increased each time, so that every host sees a change
    put({"worker": {RELOADED: f"0o{(mask + 1) % 0o1000:03o}"}})
    host.systemctl("reload", "airkiln-boot.service")


def newest_generation(host: Host) -> int:
    """The newest generation of a host's worker that has a process; 0 if none has."""
    return max(generations(host, *RUNS), default=0)


def _one_generation(_: WorkerGroup, host: Host) -> bool:
    here = generations(host, *RUNS)
    return len(here) == 1 and here == generations(host, "active")


def _power_off(_: WorkerGroup, host: Host) -> None:
    with suppress(RehearsalError):  # the machine may be gone before it answers
        host.machine.execute(["systemctl", "poweroff", "--no-block"], timeout=20)


RELOAD = WorkerFault("reload", _reload, _one_generation)
FAULTS = (
    WorkerFault("scale_in", terminate, gone),
    WorkerFault("spot_notice", spot_notice(SPOT_SECONDS), gone, may_rerun=True),
    WorkerFault("systemctl_stop", _stop, _stopped, _start),
    RELOAD,
    WorkerFault("host_shutdown", _power_off, gone),
)
"""In the order of a campaign."""
SHORT_SPOT_NOTICE = WorkerFault("short_spot_notice", spot_notice(SHORT_SPOT_SECONDS), gone, may_rerun=True)
