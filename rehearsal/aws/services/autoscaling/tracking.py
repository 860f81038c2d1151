"""How many instances a target tracking policy wants: one decision on the metric's last values.

Sources: the EC2 Auto Scaling user guide, "Target tracking scaling policies"
(https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html) and "Set the default
instance warmup" (ec2-auto-scaling-default-instance-warmup.html beside it). The policy scales out as soon as
its high alarm has breached, and in more gradually; the numbers of minutes are those of the alarms that AWS
creates for it. What is wanted is rounded up, in both directions.

Left out: every metric but ASGAverageCPUUtilization, the two alarms as objects of CloudWatch, several policies
that contradict each other within one minute (each is carried out).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MINUTE = 60.0
"""Seconds between two values of the metric."""
BREACHES_OUT = 3
"""Values above the target in a row, after which the policy scales out."""
BREACHES_IN = 15
"""Values below ``SLACK`` of the target in a row, after which it scales in."""
SLACK = 0.9
METRIC = "ASGAverageCPUUtilization"


@dataclass(frozen=True)
class Load:
    """What a policy knows of a group."""

    desired: int
    warm: int
    """Instances that the metric is of: those in service that are warm."""
    warming: int
    """Instances that will be; nothing scales in while there are some."""
    values: tuple[float, ...]
    """The metric's last values, one for each minute, the newest last."""


def wanted(load: Load, target: float, *, scales_in: bool = True) -> int:
    """Return the desired capacity that a policy wants; the present one if it wants nothing."""
    recent = load.values[-BREACHES_OUT:]
    if len(recent) == BREACHES_OUT and min(recent) > target:
        return max(load.desired, math.ceil(load.warm * recent[-1] / target))
    longer = load.values[-BREACHES_IN:]
    if scales_in and not load.warming and len(longer) == BREACHES_IN and max(longer) < SLACK * target:
        return min(load.desired, math.ceil(load.warm * longer[-1] / target))
    return load.desired
