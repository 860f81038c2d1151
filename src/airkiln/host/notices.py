"""Notices of this instance's end: its lifecycle state, Spot notices and recommendations to rebalance.

A thread of its own reads them from instance metadata every two seconds, so that no loop waits for it.
Metadata that does not answer changes nothing: the last notices stand, and it is read again, for as long as
the process runs. Every daemon uses this one implementation.

After EC2 has moved an instance to other hardware, metadata answers 404 for the lifecycle state until the next
transition. Auto Scaling is asked meanwhile, so a drain that has begun goes on.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from airkiln.aws.clients import Clients, Make, describe_error
from airkiln.host import metadata
from airkiln.host.clock import boottime
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.host.metadata import NoImdsError
from airkiln.systemd.journal import INFO, NOTICE, RateLimit, say

EVERY = 2.0
"""Seconds between two observations."""
ABSENT_EVERY = 60.0
"""Seconds between two observations on a host that seems to have no metadata. It may only be away."""
ASK_EVERY = 20.0
"""Seconds between two requests to Auto Scaling, while metadata does not say the lifecycle state."""
LIFECYCLE = "meta-data/autoscaling/target-lifecycle-state"
GROUP_TAG = "meta-data/tags/instance/aws:autoscaling:groupName"
"""Auto Scaling tags its instances with the name of their group."""
TARGETS = {
    "Pending": "InService",
    "Warmed": "Warmed",
    "Stopped": "Warmed",
    "EnteringStandby": "Standby",
    "Detaching": "Detached",
    "Terminating": "Terminated",
}
"""target-lifecycle-state by the first word of the lifecycle state; any other stands for itself:
https://docs.aws.amazon.com/autoscaling/ec2/userguide/retrieving-target-lifecycle-state-through-imds.html"""
SPOT_SECONDS = 120.0
"""Seconds that a Spot notice leaves, at most:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""


class Metadata(Protocol):
    """The part of `Imds` that is used here."""

    def get(self, path: str) -> str | None: ...  # noqa: D102 - Imds describes it


@dataclass(frozen=True)
class SpotNotice:
    """EC2 takes this instance back."""

    end: float
    """When, on CLOCK_BOOTTIME. It is computed once, when the notice is first seen: from then on no setting
    of the time of day moves it."""
    text: str
    """The action and its time as EC2 gives them, for the journal."""


@dataclass(frozen=True)
class Notices:
    """The last answers of instance metadata."""

    lifecycle: str | None = None
    """autoscaling/target-lifecycle-state; None outside an Auto Scaling group."""
    spot: SpotNotice | None = None
    rebalance: bool = False
    """Whether EC2 recommends to rebalance: the risk of an interruption is high."""


class AutoScaling:
    """What Auto Scaling says of this instance. The client is made with the first question."""

    def __init__(self, make: Make | None = None) -> None:
        self._make = make
        self._clients: Clients | None = None

    def target(self, instance: Instance) -> str | None:
        """The target lifecycle state; None for an instance of no group. Raises botocore's errors."""
        if self._clients is None:
            self._clients = Clients(instance.region, self._make)
        found = self._clients.get("autoscaling").describe_auto_scaling_instances(
            InstanceIds=[instance.instance_id]
        )
        states = [str(each["LifecycleState"]) for each in found.get("AutoScalingInstances", ())]
        return target_of(states[0]) if states else None


def target_of(state: str) -> str:
    """The target lifecycle state of an instance in this lifecycle state."""
    first = state.partition(":")[0]
    return TARGETS.get(first, first)


class NoticeWatcher(threading.Thread):
    """Reads the notices for as long as the process runs. `notices` is replaced as a whole.

    :param connect: connects to metadata; called in the thread, with its first observation.
    :param clock: CLOCK_BOOTTIME in seconds.
    :param wall: the time of day in seconds since 1970.
    :param known: what the boot path wrote of this instance.
    :param ask: asks Auto Scaling for the target lifecycle state of an instance.
    """

    def __init__(
        self,
        connect: Callable[[], Metadata] = lambda: metadata.connect(Layout()),
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
        known: Instance | None = None,
        ask: Callable[[Instance], str | None] | None = None,
    ) -> None:
        super().__init__(name="notices", daemon=True)
        self._connect, self._clock, self._wall = connect, clock, wall
        self._ask = ask or AutoScaling().target
        self._failures = RateLimit(clock=clock)
        self._metadata: Metadata | None = None
        self._ask_at = 0.0
        self.notices = Notices()
        self.instance = known or Instance()
        """What this instance is. Its id is None until the boot path or metadata has named it."""

    def run(self) -> None:
        """Read until the process ends, less often where there seems to be no metadata."""
        while True:
            time.sleep(EVERY if self.observe() else ABSENT_EVERY)

    def observe(self) -> bool:
        """Read once. False where this host seems to have no instance metadata at all."""
        try:
            if self._metadata is None:
                self._metadata = self._connect()
            get = self._metadata.get
            self._identify(get)
            lifecycle = get(LIFECYCLE) or self._of_the_group(get)
            spot = self._spot(get("meta-data/spot/instance-action"))
            rebalance = get("meta-data/events/recommendations/rebalance") is not None
        except NoImdsError:
            self._metadata = None
            self._failures.say(
                "absent", "event=no-metadata reason=nothing answers: nothing announces this host's end", INFO
            )
            return False
        except Exception as error:  # of any kind: reported, and read again
            self._failures.say("metadata", f"event=metadata-failed reason={describe_error(error)}")
        else:
            self.notices = Notices(lifecycle, spot, rebalance)
        return True

    def _identify(self, get: Callable[[str], str | None]) -> None:
        if self.instance.instance_id is None:
            self.instance = replace(
                self.instance,
                instance_id=get("meta-data/instance-id"),
                region=self.instance.region or get("meta-data/placement/region"),
            )

    def _of_the_group(self, get: Callable[[str], str | None]) -> str | None:
        """The lifecycle state where metadata does not say it: Auto Scaling's answer, or the last one."""
        last = self.notices.lifecycle
        if last is None and get(GROUP_TAG) is None:
            return None
        now = self._clock()
        if now < self._ask_at:
            return last
        self._ask_at = now + ASK_EVERY
        try:
            found = self._ask(self.instance)
        except Exception as error:  # of any kind: the last answer stands
            self._failures.say(
                "group", f"event=lifecycle-unknown reason=Auto Scaling: {describe_error(error)}"
            )
            return last
        self._failures.say(
            "moved", f"event=lifecycle-asked reason=metadata does not say the lifecycle state ({found})", INFO
        )
        return found

    def _spot(self, text: str | None) -> SpotNotice | None:
        """EC2 withdraws no notice: one that metadata has lost stands until its time has come."""
        known = self.notices.spot
        if known is not None and (text or self._clock() < known.end):
            return known
        if not text:
            return None
        left = remaining(text, self._wall())
        say(f"event=spot-notice seconds={left:.0f} reason={' '.join(text.split())}", NOTICE)
        return SpotNotice(self._clock() + left, describe(text))


def describe(text: str) -> str:
    """A Spot notice in words, such as "Spot terminate at 2026-09-18T08:22:00Z"."""
    try:
        action = json.loads(text)
        return f"Spot {action['action']} at {action['time']}"
    except (ValueError, KeyError, TypeError):
        return "a Spot notice"


def remaining(text: str, wall: float) -> float:
    """Seconds that a Spot notice leaves: from 0 to two minutes; two minutes where it names no time."""
    try:
        end = datetime.fromisoformat(str(json.loads(text)["time"]))
    except (ValueError, KeyError, TypeError):
        return SPOT_SECONDS
    if end.tzinfo is None:
        end = end.replace(tzinfo=UTC)
    return min(max(end.timestamp() - wall, 0.0), SPOT_SECONDS)
