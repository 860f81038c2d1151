"""Where the end of this instance is announced: its metadata, asked every two seconds in a thread of its own.

Metadata that does not answer changes nothing: the last answer stays. A Spot notice gives a time of the wall
clock, which is converted once, when the notice is first seen; a wrong clock cannot make it longer than AWS's
two minutes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from airkiln.errors import AirkilnError
from airkiln.host.layout import Layout
from airkiln.host.metadata import Imds, NoImdsError, made_by_amazon
from airkiln.lifecycle.runtime import host
from airkiln.systemd.journal import NOTICE, WARNING, say

EVERY = 2.0
TELL_EVERY = 600.0
"""Seconds between two lines about metadata that does not answer."""
NOTICE_SECONDS = 120.0
"""Of a Spot notice, at most:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""


class Metadata(Protocol):
    """What is used of Imds."""

    def get(self, path: str) -> str | None: ...  # noqa: D102 - Imds describes it


@dataclass(frozen=True)
class Announced:
    """The last answers."""

    target: str | None = None
    spot_end: float | None = None
    """CLOCK_BOOTTIME."""
    rebalance: bool = False


def instance_metadata(layout: Layout) -> Imds:
    """The connection to ask. Where the boot found an instance, metadata that is away now comes back."""
    is_ec2 = host(layout).instance is not None or made_by_amazon(layout.dmi_vendor)
    return Imds(is_ec2=is_ec2, timeout=1.0, attempts=2)


def boottime() -> float:
    """Seconds since the machine began, suspended or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Sources(threading.Thread):
    """`announced` is read by the loop; a look replaces it as a whole."""

    def __init__(
        self,
        metadata: Callable[[], Metadata] = lambda: instance_metadata(Layout()),
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="metadata", daemon=True)
        self._make, self._clock, self._wall = metadata, clock, wall
        self._told_at = -TELL_EVERY
        self._metadata: Metadata | None = None
        self.announced = Announced()

    def run(self) -> None:
        """Until the process ends, or for good where there is no instance metadata."""
        while self.look():
            time.sleep(EVERY)
        say("event=no-metadata reason=this host has no instance metadata: nothing announces its end")

    def look(self) -> bool:
        """Ask once; False where there is nothing to ask."""
        try:
            if self._metadata is None:
                self._metadata = self._make()
            metadata = self._metadata
            found = replace(
                self.announced, target=metadata.get("meta-data/autoscaling/target-lifecycle-state")
            )
            found = replace(found, spot_end=self._spot(metadata.get("meta-data/spot/instance-action")))
            recommended = metadata.get("meta-data/events/recommendations/rebalance") is not None
            self.announced = replace(found, rebalance=recommended)
        except NoImdsError:
            return False
        except Exception as error:  # of whatever kind: told, and asked again
            now = self._clock()
            if now - self._told_at >= TELL_EVERY:
                self._told_at = now
                text = str(error) if isinstance(error, AirkilnError) else type(error).__name__
                say(f"event=metadata-failed reason={text}", WARNING)
        return True

    def _spot(self, text: str | None) -> float | None:
        if text is None:
            return None
        known = self.announced.spot_end
        if known is not None:
            return known
        left = remaining(text, self._wall())
        say(f"event=spot-notice seconds={left:.0f} reason={' '.join(text.split())}", NOTICE)
        return self._clock() + left


def remaining(text: str, wall: float) -> float:
    """Seconds that a Spot notice leaves, from 0 to two minutes; two minutes where it gives no time."""
    try:
        end = datetime.fromisoformat(str(json.loads(text)["time"]))
    except (ValueError, KeyError, TypeError):
        return NOTICE_SECONDS
    if end.tzinfo is None:
        end = end.replace(tzinfo=UTC)
    return min(max(end.timestamp() - wall, 0.0), NOTICE_SECONDS)
