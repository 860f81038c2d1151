"""What an instance refresh does next: one decision on what the group's instances are.

Sources: the EC2 Auto Scaling user guide, "How an instance refresh works in an Auto Scaling group"
(https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html) and "Add checkpoints to
an instance refresh" (asg-adding-checkpoints-instance-refresh.html beside it), and the API reference of
RefreshPreferences, from which every default and limit here comes.

Replacements are launched before their predecessors end where MinHealthyPercentage is 100, and where an
explicit MaxHealthyPercentage leaves no other way; otherwise an instance ends while its replacement starts.
The minimum is rounded up and the maximum down.

Left out: weighted capacity, warm pools, the strategy ReplaceRootVolume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

PATIENCE = 3600.0
"""Seconds for which a refresh that cannot go on tries again ("one-hour timeout" in the user guide)."""
LONGEST = 14 * 24 * 3600.0
"""Seconds for which a refresh may replace instances (user guide, "Limitations")."""


@dataclass(frozen=True)
class Preferences:
    """RefreshPreferences of a request, with AWS's defaults. Times are in seconds."""

    warmup: float
    minimum: int = 90
    maximum: int | None = None
    checkpoints: tuple[int, ...] = ()
    checkpoint_delay: float = 3600.0
    skip_matching: bool = False
    auto_rollback: bool = False
    protected: str = "Wait"
    standby: str = "Wait"
    alarms: tuple[str, ...] = ()
    bake_time: float = 0.0

    def reversed(self) -> Preferences:
        """Return the preferences of a rollback: the same pace, without pauses."""
        return replace(
            self, checkpoints=(), skip_matching=False, auto_rollback=False, alarms=(), bake_time=0.0
        )


@dataclass(frozen=True)
class Instance:
    """An instance of the group, as a refresh sees it."""

    name: str
    updated: bool
    """Whether it is what the refresh wants."""
    ready: bool
    """Whether it is in service, healthy, and warm if it is new."""
    protected: bool = False
    standby: bool = False


@dataclass(frozen=True)
class Group:
    """The group, as a refresh sees it."""

    desired: int
    instances: tuple[Instance, ...]
    trouble: str = ""
    """Why a replacement failed, if one did lately."""


@dataclass(frozen=True)
class Progress:
    """How far a refresh has come."""

    started: float
    updated: int = 0
    most_updated: int = 0
    percent: int = 0
    to_update: int = 0
    passed: int = 0
    """The highest checkpoint that was reached."""
    paused_until: float = 0.0
    stuck_since: float | None = None
    blocked: bool = False
    """Whether it is stuck because all that is left may not be replaced."""


@dataclass(frozen=True)
class Step:
    """What to do now."""

    progress: Progress
    end: tuple[str, ...] = ()
    """Instances to terminate."""
    surplus: int = 0
    """Instances that the group has above its desired capacity for the time being."""
    reason: str = ""
    done: bool = False
    failed: bool = False


def bounds(desired: int, preferences: Preferences) -> tuple[int, int]:
    """Return how many instances have to be ready, and how many there may be."""
    lowest = math.ceil(desired * preferences.minimum / 100)
    highest = desired * (preferences.maximum or 100) // 100
    if preferences.minimum == 100:
        highest = max(highest, desired + 1)
    elif lowest >= desired >= highest:
        if preferences.maximum is None:
            lowest = desired - 1
        else:
            highest = desired + 1
    return lowest, highest


def decide(now: float, group: Group, preferences: Preferences, progress: Progress) -> Step:
    """Return what an instance refresh does next."""
    old = [each for each in group.instances if not each.updated]
    aside = [each for each in old if each.standby]
    kept = [
        each for each in old if each.protected and not each.standby and preferences.protected != "Refresh"
    ]
    waited = (aside if preferences.standby == "Wait" else []) + (
        kept if preferences.protected == "Wait" else []
    )
    left = [each for each in old if not each.standby and each not in kept]
    goal = max(0, group.desired - (len(kept) if preferences.protected == "Ignore" else 0))
    blocked = not left and bool(waited)
    counts = _count(group, progress, goal, waited)
    stuck = _stuck_since(now, progress, counts.updated, blocked=blocked, trouble=bool(group.trouble))
    progress = replace(counts, stuck_since=stuck, blocked=blocked)
    reason = group.trouble or (_names(waited) if blocked else "")
    if progress.stuck_since is not None and now - progress.stuck_since >= PATIENCE:
        return Step(progress, reason=reason or "It made no progress for an hour.", failed=True)
    if now - progress.started >= LONGEST:
        return Step(progress, reason="It took longer than 14 days.", failed=True)

    last = preferences.checkpoints[-1] if preferences.checkpoints else 100
    progress = _pass_checkpoint(now, preferences, progress, last)
    paused = now < progress.paused_until
    counted = [each for each in group.instances if not each.standby]
    quota = _quota(goal, preferences, progress, paused=paused)
    end, surplus = _replace(group.desired, counted, left, quota, preferences)
    if preferences.standby == "Terminate":
        end += tuple(each.name for each in aside)
    reached = progress.passed >= last < 100 or (not left and not waited and progress.percent == 100)
    if reached and not end and len(counted) <= group.desired:
        return Step(progress, done=True)
    if paused and not end:
        reason = f"It waits after the checkpoint at {progress.passed} percent."
    return Step(progress, end, surplus, reason)


def _count(group: Group, progress: Progress, goal: int, waited: list[Instance]) -> Progress:
    """Count what was updated, of as many as the refresh has to update."""
    updated = sum(each.updated and each.ready for each in group.instances)
    percent = 100 if not goal else min(100, 100 * updated // goal)
    return replace(
        progress,
        percent=99 if percent == 100 and waited else percent,
        to_update=max(0, goal - updated) + sum(each.standby for each in waited),
        updated=updated,
        most_updated=max(updated, progress.most_updated),
    )


def _stuck_since(
    now: float, progress: Progress, updated: int, *, blocked: bool, trouble: bool
) -> float | None:
    """Return since when nothing went on, or None. What was updated, or may be replaced again, is progress."""
    if updated > progress.most_updated or (progress.blocked and not blocked):
        return now if blocked or trouble else None
    if (blocked or trouble) and progress.stuck_since is None:
        return now
    return progress.stuck_since


def _pass_checkpoint(now: float, preferences: Preferences, progress: Progress, last: int) -> Progress:
    """Note the highest checkpoint that was reached and pause, but after the last. Lower ones are skipped."""
    reached = max((each for each in preferences.checkpoints if each <= progress.percent), default=0)
    if reached <= progress.passed:
        return progress
    pause = 0.0 if reached == last else now + preferences.checkpoint_delay
    return replace(progress, passed=reached, paused_until=pause)


def _quota(goal: int, preferences: Preferences, progress: Progress, *, paused: bool) -> int:
    """Return how many new instances there may be until the next checkpoint."""
    if paused:
        return progress.updated
    following = next((each for each in preferences.checkpoints if each > progress.passed), 100)
    if preferences.checkpoints and progress.passed >= preferences.checkpoints[-1]:
        return progress.updated
    return math.ceil(goal * following / 100)


def _replace(
    desired: int, counted: list[Instance], left: list[Instance], quota: int, preferences: Preferences
) -> tuple[tuple[str, ...], int]:
    """Return which old instances end now, and how many instances the group has in surplus."""
    if not left:
        return (), 0
    lowest, highest = bounds(desired, preferences)
    allowed = max(0, quota - sum(each.updated for each in counted))
    excess = len(counted) - desired
    spare = sum(each.ready for each in counted) - lowest
    useless = [each for each in left if not each.ready]
    useful = [each for each in left if each.ready]
    candidates = useless + useful[: max(0, spare)]
    end = candidates[: max(0, excess + allowed)]
    remaining, still = len(counted) - len(end), len(left) - len(end)
    allowed_surplus = remaining - desired + allowed
    surplus = max(remaining - desired, min(highest - desired, still, allowed_surplus), 0) if still else 0
    return tuple(each.name for each in end), surplus


def _names(waited: list[Instance]) -> str:
    """Return what the refresh waits for."""
    if any(each.standby for each in waited):
        return "It waits for instances on standby to return to service: " + ", ".join(
            each.name for each in waited if each.standby
        )
    return "It waits for the scale-in protection to be removed from " + ", ".join(
        each.name for each in waited
    )
