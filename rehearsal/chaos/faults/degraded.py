"""Scale-ins while a dependency of the worker's lifecycle daemon is degraded.

No task may be lost, and the worker must end all the same.
"""

from __future__ import annotations

import time

from rehearsal.aws import fault_client
from rehearsal.chaos.faults.clocks import make_adjustable, set_clock
from rehearsal.chaos.faults.workers import WorkerFault, gone, terminate
from rehearsal.deployment.host import LIFECYCLE_UNIT, Host
from rehearsal.deployment.worker_group import WorkerGroup

METADATA_AWAY = 12.0
"""Seconds without the metadata service, in which the end is announced."""
DRAINING = 4.0
"""Seconds after which the drain has begun and instance metadata lose the lifecycle state."""
THROTTLED_CALLS = 4
"""In a row: botocore tries each call twice, and the daemon tries again after five seconds."""
JUMP = 3600.0
"""Seconds by which the clock jumps forward, and then back."""
OTHER_HOOK = 75
"""Seconds that another hook holds the instance; the daemon asks for its own during a minute of them."""
_THROTTLED_ACTION = "CompleteLifecycleAction"


def _metadata_away(group: WorkerGroup, host: Host) -> None:
    fault_client.metadata_away(host.address, METADATA_AWAY)
    terminate(group, host)


def _live_migration(group: WorkerGroup, host: Host) -> None:
    terminate(group, host)
    time.sleep(DRAINING)
    fault_client.live_migration(host.name, host.address)


def _throttle(group: WorkerGroup, host: Host) -> None:
    fault_client.throttle("autoscaling", THROTTLED_CALLS, _THROTTLED_ACTION)
    terminate(group, host)


def _stop_throttling(_group: WorkerGroup, _host: Host) -> None:
    fault_client.throttle("autoscaling", 0, _THROTTLED_ACTION)


def _replace_hook(group: WorkerGroup, host: Host) -> None:
    group.set_hook("somebody-elses", heartbeat=OTHER_HOOK)
    terminate(group, host)


def _restore_hook(group: WorkerGroup, _: Host) -> None:
    group.set_hook()


def _clock_jumps(group: WorkerGroup, host: Host) -> None:
    make_adjustable(host, LIFECYCLE_UNIT)
    terminate(group, host)
    time.sleep(3)
    set_clock(host, JUMP)
    time.sleep(3)
    set_clock(host, -JUMP)


FAULTS = (
    WorkerFault("metadata_away", _metadata_away, gone, says="event=metadata-failed"),
    WorkerFault("live_migration", _live_migration, gone, says="event=lifecycle-asked"),
    WorkerFault("throttled", _throttle, gone, _stop_throttling, says="complete failed: Throttling"),
    WorkerFault("without_hook", _replace_hook, gone, _restore_hook, says="event=no-hook"),
    WorkerFault("clock_jumps", _clock_jumps, gone, says="event=drained"),
)
