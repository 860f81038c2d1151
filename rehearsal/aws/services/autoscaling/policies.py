"""Has target tracking policies act: asks for their metric every minute, and sets the desired capacity.

``tracking`` decides and says what is left out.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.models import EmulatedGroup
from rehearsal.aws.services.autoscaling.refreshing import Refreshing
from rehearsal.aws.services.autoscaling.tracking import BREACHES_IN, METRIC, Load, wanted
from rehearsal.aws.services.patching import Moto

log = logging.getLogger(__name__)
AverageCpu: TypeAlias = Callable[[Sequence[str]], float | None]
"""Returns the average use of instances' processors in the last minute, in percent; None if unknown."""


class Tracking(Refreshing):
    """The policies of all groups that follow the use of processors."""

    average_cpu: AverageCpu

    def __init__(self, *args: Moto, **options: Moto) -> None:
        self._values: dict[str, deque[float]] = {}
        """Of each group the metric's last values, one a minute."""
        super().__init__(*args, **options)

    def follow_load(self) -> None:
        """Take a value of each group's metric, and carry out what its policies want."""
        for group in self.groups():
            tracked = [
                policy.target_tracking_configuration
                for policy in self.describe_policies(group.name)
                if policy.target_tracking_configuration is not None
            ]
            for configuration in (vars(each) for each in tracked):
                named = (configuration.get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType")
                if named == METRIC:
                    self._follow(group, configuration)

    def _follow(self, group: EmulatedGroup, configuration: dict[str, Moto]) -> None:
        now = self.clock()
        serving = [each for each in group.instance_states if each.lifecycle_state == lifecycle.IN_SERVICE]
        warm = [each.instance_id for each in serving if now - each.in_service_at >= group.warmup]
        value = self.average_cpu(warm) if warm else None
        values = self._values.setdefault(group.name, deque(maxlen=BREACHES_IN))
        if value is None:
            values.clear()
            return
        values.append(value)
        if group.suspended("AlarmNotification") or group.deleting:
            return
        load = Load(group.capacity, len(warm), len(group.counted()) - len(warm), tuple(values))
        target = float(configuration["TargetValue"])
        desired = wanted(load, target, scales_in=not configuration.get("DisableScaleIn"))
        desired = min(max(desired, group.min_size or 0), group.max_size or 0)
        if desired != group.capacity:
            log.info("%s uses %.0f percent of its processors: %s instances", group.name, value, desired)
            group.set_desired_capacity(desired)
            self.reconcile(group)
