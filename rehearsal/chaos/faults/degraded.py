"""Drains in which something else goes wrong, one kind each: metadata that is away, calls that are refused, a
hook that is not there, a clock that jumps.

No task may be lost for it, and the worker ends all the same.
"""

from __future__ import annotations

import time

from rehearsal.aws import fault_client
from rehearsal.chaos.faults.clocks import can_jump, jump
from rehearsal.chaos.faults.drains import DAEMON, Kind, gone
from rehearsal.deployment.cluster import Host
from rehearsal.deployment.worker_group import Fleet

AWAY = 12.0
"""Seconds without metadata, in which the end is announced."""
REFUSED = 4
"""Calls in a row: botocore tries each twice, and the daemon again after five seconds."""
JUMP = 3600.0
"""Seconds ahead, and then as many behind."""
OTHERS_WAIT = 75
"""Seconds that another hook holds the instance: for a minute of them the daemon asks for its own."""


def _metadata_away(fleet: Fleet, host: Host) -> None:
    fault_client.metadata_away(host.address, AWAY)
    fleet.end(host, replace=False)


def _throttled(fleet: Fleet, host: Host) -> None:
    fault_client.throttle("autoscaling", REFUSED, "CompleteLifecycleAction")
    fleet.end(host, replace=False)


def _not_throttled(_fleet: Fleet, _host: Host) -> None:
    fault_client.throttle("autoscaling", 0, "CompleteLifecycleAction")


def _without_hook(fleet: Fleet, host: Host) -> None:
    fleet.set_hook("somebody-elses", heartbeat=OTHERS_WAIT)
    fleet.end(host, replace=False)


def _with_hook(fleet: Fleet, _: Host) -> None:
    fleet.set_hook()


def _clock_jumps(fleet: Fleet, host: Host) -> None:
    can_jump(host, DAEMON)
    fleet.end(host, replace=False)
    time.sleep(3)
    jump(host, JUMP)
    time.sleep(3)
    jump(host, -JUMP)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("metadata_away", _metadata_away, gone, says="event=metadata-failed"),
        Kind("throttled", _throttled, gone, _not_throttled, says="complete failed: Throttling"),
        Kind("without_hook", _without_hook, gone, _with_hook, says="event=no-hook"),
        Kind("clock_jumps", _clock_jumps, gone, says="event=drained"),
    )
}
"""By name."""
