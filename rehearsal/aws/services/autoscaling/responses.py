"""Auto Scaling's calls that moto lacks or answers with less than AWS does; each holds the backend's lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from moto.autoscaling.models import autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult, EmptyResult

from rehearsal.aws.services.autoscaling.models import Moto, invalid

if TYPE_CHECKING:
    from rehearsal.aws.services.autoscaling.backend import RehearsedAutoScaling


class Locked:
    """A backend whose requests and scheduled steps take turns."""

    def __init__(self, *args: Moto, **options: Moto) -> None:
        self.lock = threading.RLock()
        super().__init__(*args, **options)


class AutoScalingCalls(AutoScalingResponse):
    """Answers requests; what is not here is moto's."""

    @property
    def autoscaling_backend(self) -> RehearsedAutoScaling:
        """The backend that ``rehearsal.aws.services.autoscaling.backend.install`` has put in place."""
        found: Moto = autoscaling_backends[self.current_account][self.region]
        return found  # type: ignore[no-any-return]  # install() makes it so

    def call_action(self) -> TYPE_RESPONSE:
        """One call at a time."""
        with self.autoscaling_backend.lock:
            answer: TYPE_RESPONSE = super().call_action()
            return answer

    def create_auto_scaling_group(self) -> ActionResult:
        """With its hooks, which moto drops."""
        made = super().create_auto_scaling_group()
        for hook in self._get_param("LifecycleHookSpecificationList", []):
            self.autoscaling_backend.create_lifecycle_hook(
                hook["LifecycleHookName"],
                self._get_param("AutoScalingGroupName"),
                hook["LifecycleTransition"],
                hook.get("HeartbeatTimeout"),
                hook.get("DefaultResult"),
            )
        return made

    def delete_auto_scaling_group(self) -> ActionResult:
        """Only by force where there are instances."""
        force = bool(self._get_bool_param("ForceDelete", False))
        self.autoscaling_backend.delete_auto_scaling_group(self._get_param("AutoScalingGroupName"), force)
        return EmptyResult()

    def set_instance_health(self) -> ActionResult:
        """With its grace period, which moto ignores."""
        status = self._get_param("HealthStatus")
        if status not in ("Healthy", "Unhealthy"):
            raise invalid("Valid instance health states are: [Healthy, Unhealthy].")
        respect = bool(self._get_bool_param("ShouldRespectGracePeriod", True))
        self.autoscaling_backend.set_instance_health(self._get_param("InstanceId"), status, respect)
        return EmptyResult()

    def describe_scaling_activities(self) -> ActionResult:
        """The last hundred of a group, or of all groups, the newest first."""
        name = self._get_param("AutoScalingGroupName")
        names = [name] if name else list(self.autoscaling_backend.autoscaling_groups)
        found = [each for one in names for each in self.autoscaling_backend.group(one).activities]
        found.sort(key=lambda activity: activity.start_time, reverse=True)
        return ActionResult({"Activities": found[: self._get_int_param("MaxRecords") or 100]})

    def record_lifecycle_action_heartbeat(self) -> ActionResult:
        """A sign of life of whoever works on a lifecycle action."""
        self.autoscaling_backend.record_heartbeat(*self._action())
        return EmptyResult()

    def complete_lifecycle_action(self) -> ActionResult:
        """The end of that work."""
        result = self._get_param("LifecycleActionResult")
        self.autoscaling_backend.complete_action(*self._action(), result)
        return EmptyResult()

    def _action(self) -> tuple[str, str, str | None, str | None]:
        """Group, hook, token and instance of the request."""
        return (
            self._get_param("AutoScalingGroupName"),
            self._get_param("LifecycleHookName"),
            self._get_param("LifecycleActionToken"),
            self._get_param("InstanceId"),
        )
