"""Has target tracking policies act: asks for their metric every minute, and sets the desired capacity.

``tracking`` decides and says what is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.models import EmulatedGroup
from rehearsal.aws.services.autoscaling.refreshing import Refreshing
from rehearsal.aws.services.autoscaling.tracking import METRIC, Load, wanted
from rehearsal.aws.services.patching import Moto

log = logging.getLogger(__name__)
AverageCpu: TypeAlias = Callable[[Sequence[str]], float | None]
"""Returns the average use of instances' processors in the last minute, in percent; None if unknown."""


class Tracking(Refreshing):
    """The policies of all groups that follow the use of processors."""

    average_cpu: AverageCpu

    def follow_load(self) -> None:
        """Take a value of each group's metric, and carry out what its policies want."""
        for group in self.groups():
            policies = [
                vars(policy.target_tracking_configuration)
                for policy in self.describe_policies(group.name)
                if policy.target_tracking_configuration is not None
            ]
            followed = [policy for policy in policies if _metric(policy) == METRIC]
            if followed:
                load = self._load(group)
                for policy in followed:
                    self._follow(group, policy, load)

    def _load(self, group: EmulatedGroup) -> Load:
        now = self.clock()
        serving = [each for each in group.instance_states if each.lifecycle_state == lifecycle.IN_SERVICE]
        warm = [each.instance_id for each in serving if now - each.in_service_at >= group.warmup]
        value = self.average_cpu(warm) if warm else None
        if value is None:
            group.loads.clear()
        else:
            group.loads.append(value)
        return Load(group.capacity, len(warm), len(group.counted()) - len(warm), tuple(group.loads))

    def _follow(self, group: EmulatedGroup, policy: dict[str, Moto], load: Load) -> None:
        if group.suspended("AlarmNotification") or group.deleting:
            return
        desired = wanted(load, float(policy["TargetValue"]), scales_in=not policy.get("DisableScaleIn"))
        desired = min(max(desired, group.min_size or 0), group.max_size or 0)
        if desired != group.capacity:
            log.info(
                "%s uses %s percent of its processors: %s instances", group.name, load.values[-1], desired
            )
            group.set_desired_capacity(desired)
            self.reconcile(group)


def _metric(policy: dict[str, Moto]) -> str | None:
    specification = policy.get("PredefinedMetricSpecification") or {}
    return specification.get("PredefinedMetricType")
