"""Notices of this instance's end: its lifecycle state, Spot notices and recommendations to rebalance.

A thread of its own reads them from instance metadata every two seconds, so that no loop waits for it.
Metadata that does not answer changes nothing: the last notices stand, and it is read again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from airkiln.aws.clients import describe_error
from airkiln.host import metadata
from airkiln.host.clock import boottime
from airkiln.host.layout import Layout
from airkiln.host.metadata import NoImdsError
from airkiln.systemd.journal import NOTICE, RateLimit, say

EVERY = 2.0
"""Seconds between two observations."""
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


class NoticeWatcher(threading.Thread):
    """Reads the notices for as long as the process runs. `notices` is replaced as a whole.

    :param connect: connects to metadata; called in the thread, with its first observation.
    :param clock: CLOCK_BOOTTIME in seconds.
    :param wall: the time of day in seconds since 1970.
    """

    def __init__(
        self,
        connect: Callable[[], Metadata] = lambda: metadata.connect(Layout()),
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="notices", daemon=True)
        self._connect, self._clock, self._wall = connect, clock, wall
        self._failures = RateLimit(clock=clock)
        self._metadata: Metadata | None = None
        self.notices = Notices()

    def run(self) -> None:
        """Read until the process ends. Returns at once on a host that is not an EC2 instance."""
        while self.observe():
            time.sleep(EVERY)
        say("event=no-metadata reason=this host has no instance metadata: nothing announces its end")

    def observe(self) -> bool:
        """Read once. False only where this host has no instance metadata at all."""
        try:
            if self._metadata is None:
                self._metadata = self._connect()
            get = self._metadata.get
            lifecycle = get("meta-data/autoscaling/target-lifecycle-state")
            spot = self._spot(get("meta-data/spot/instance-action"))
            rebalance = get("meta-data/events/recommendations/rebalance") is not None
        except NoImdsError:
            return False
        except Exception as error:  # of any kind: reported, and read again
            self._failures.say("metadata", f"event=metadata-failed reason={describe_error(error)}")
        else:
            self.notices = Notices(lifecycle, spot, rebalance)
        return True

    def _spot(self, text: str | None) -> SpotNotice | None:
        if not text or self.notices.spot is not None:
            return self.notices.spot if text else None
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
