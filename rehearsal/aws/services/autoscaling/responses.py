"""Answers Auto Scaling's requests that moto lacks or answers with less than AWS; one request at a time."""

from __future__ import annotations

from moto.autoscaling.models import autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult, EmptyResult

from rehearsal.aws.services.autoscaling.backend import (
    EmulatedAutoScaling,
    check_health_types,
    check_lifecycle_policy,
    check_termination_policies,
)
from rehearsal.aws.services.autoscaling.models import invalid

SETTINGS = {
    "CapacityRebalance": "capacity_rebalance",
    "DefaultCooldown": "default_cooldown",
    "DefaultInstanceWarmup": "default_instance_warmup",
    "InstanceLifecyclePolicy": "instance_lifecycle_policy",
    "TerminationPolicies": "termination_policies",
}
"""Settings of a group that moto drops when it creates or updates one, with the group's attributes."""


class EmulatedResponse(AutoScalingResponse):
    """The operations of the API, as moto calls them; those that are not here are moto's."""

    @property
    def autoscaling_backend(self) -> EmulatedAutoScaling:
        """The backend of the request's account and region."""
        found = autoscaling_backends[self.current_account][self.region]
        if not isinstance(found, EmulatedAutoScaling):
            raise TypeError("moto served Auto Scaling before install(): call install() first.")
        return found

    def call_action(self) -> TYPE_RESPONSE:
        """Answer one request, while nothing else changes a group."""
        with self.autoscaling_backend.lock:
            answer: TYPE_RESPONSE = super().call_action()
            return answer

    def create_auto_scaling_group(self) -> ActionResult:
        """Answer CreateAutoScalingGroup."""
        self._check_settings()
        answer: ActionResult = super().create_auto_scaling_group()
        self._configure()
        return answer

    def update_auto_scaling_group(self) -> ActionResult:
        """Answer UpdateAutoScalingGroup."""
        self._check_settings()
        answer: ActionResult = super().update_auto_scaling_group()
        self._configure()
        return answer

    def _check_settings(self) -> None:
        check_lifecycle_policy(self._get_param("InstanceLifecyclePolicy"))
        check_health_types(self._get_param("HealthCheckType"))
        check_termination_policies(self._get_param("TerminationPolicies"))

    def _configure(self) -> None:
        named = {SETTINGS[each]: self._get_param(each) for each in SETTINGS}
        settings = {attribute: value for attribute, value in named.items() if value is not None}
        self.autoscaling_backend.configure(self._get_param("AutoScalingGroupName"), settings)

    def delete_auto_scaling_group(self) -> ActionResult:
        """Answer DeleteAutoScalingGroup; a group with instances needs ForceDelete."""
        force = bool(self._get_bool_param("ForceDelete", False))
        self.autoscaling_backend.delete_auto_scaling_group(self._get_param("AutoScalingGroupName"), force)
        return EmptyResult()

    def start_instance_refresh(self) -> ActionResult:
        """Answer StartInstanceRefresh."""
        name = self.autoscaling_backend.start_instance_refresh(
            self._get_param("AutoScalingGroupName"),
            self._get_param("Strategy", "Rolling"),
            self._get_param("DesiredConfiguration"),
            self._get_param("Preferences", {}),
        )
        return ActionResult({"InstanceRefreshId": name})

    def describe_instance_refreshes(self) -> ActionResult:
        """Answer DescribeInstanceRefreshes, a page at a time."""
        found = self.autoscaling_backend.describe_instance_refreshes(
            self._get_param("AutoScalingGroupName"), self._get_param("InstanceRefreshIds", [])
        )
        first = int(self._get_param("NextToken") or 0)
        after = first + (self._get_int_param("MaxRecords") or 50)
        token = str(after) if after < len(found) else None
        return ActionResult({"InstanceRefreshes": found[first:after], "NextToken": token})

    def cancel_instance_refresh(self) -> ActionResult:
        """Answer CancelInstanceRefresh."""
        name = self.autoscaling_backend.cancel_instance_refresh(
            self._get_param("AutoScalingGroupName"),
            wait=bool(self._get_bool_param("WaitForTransitioningInstances", True)),
        )
        return ActionResult({"InstanceRefreshId": name})

    def rollback_instance_refresh(self) -> ActionResult:
        """Answer RollbackInstanceRefresh."""
        name = self.autoscaling_backend.rollback_instance_refresh(self._get_param("AutoScalingGroupName"))
        return ActionResult({"InstanceRefreshId": name})

    def set_instance_health(self) -> ActionResult:
        """Answer SetInstanceHealth, with ShouldRespectGracePeriod."""
        status = self._get_param("HealthStatus")
        if status not in ("Healthy", "Unhealthy"):
            raise invalid("Valid instance health states are: [Healthy, Unhealthy].")
        respect = bool(self._get_bool_param("ShouldRespectGracePeriod", True))
        self.autoscaling_backend.set_instance_health(self._get_param("InstanceId"), status, respect)
        return EmptyResult()

    def describe_scaling_activities(self) -> ActionResult:
        """Answer DescribeScalingActivities: at most a hundred of each group, the newest first."""
        name = self._get_param("AutoScalingGroupName")
        names = [name] if name else list(self.autoscaling_backend.autoscaling_groups)
        found = [each for one in names for each in self.autoscaling_backend.group(one).activities]
        found.sort(key=lambda activity: activity.start_time, reverse=True)
        return ActionResult({"Activities": found[: self._get_int_param("MaxRecords") or 100]})

    def record_lifecycle_action_heartbeat(self) -> ActionResult:
        """Answer RecordLifecycleActionHeartbeat."""
        self.autoscaling_backend.record_heartbeat(*self._lifecycle_action())
        return EmptyResult()

    def complete_lifecycle_action(self) -> ActionResult:
        """Answer CompleteLifecycleAction."""
        result = self._get_param("LifecycleActionResult")
        self.autoscaling_backend.complete_action(*self._lifecycle_action(), result)
        return EmptyResult()

    def _lifecycle_action(self) -> tuple[str, str, str | None, str | None]:
        """Return group, hook, token and instance of the request."""
        return (
            self._get_param("AutoScalingGroupName"),
            self._get_param("LifecycleHookName"),
            self._get_param("LifecycleActionToken"),
            self._get_param("InstanceId"),
        )
