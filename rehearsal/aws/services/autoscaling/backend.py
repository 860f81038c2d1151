"""Emulates Auto Scaling: the operations on groups, instances and lifecycle hooks; moto keeps the records.

Groups keep their desired capacity and never terminate a protected instance for it. A deletion with
ForceDelete waits for no lifecycle hook, as AWS documents it: to drain first, set minimum and desired capacity
to 0. With CapacityRebalance an instance that EC2 recommends to replace is terminated once a replacement is in
service. Source: the EC2 Auto Scaling API reference and user guide. The modules beside this one say what
hooks, health checks, Standby, zones, instance refreshes and target tracking do.

Left out: notifications of hooks, warm pools, scheduled actions, scaling policies but target tracking (the
others execute only when a request says so), cool-downs, maintenance policies, weights, several InstanceIds in
one TerminateInstanceInAutoScalingGroup. Each module beside this one lists its own.
"""

from __future__ import annotations

import threading

from moto.autoscaling import urls
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import (
    FakeAutoScalingGroup,
    LifecycleHook,
    TerminateInstanceActivity,
    autoscaling_backends,
)

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.health import TYPES, is_valid
from rehearsal.aws.services.autoscaling.models import RETENTIONS, EmulatedGroup, Member, invalid
from rehearsal.aws.services.autoscaling.placement import RULES
from rehearsal.aws.services.autoscaling.policies import Tracking
from rehearsal.aws.services.patching import Moto

LAUNCH_SOURCES = ("launch_template", "mixed_instances_policy", "launch_config_name")
"""Options of an update that change what a group launches."""
PROCESSES = (
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)
"""Processes of a group that can be suspended (SuspendProcesses)."""
MOST_HOOKS = 50
"""Lifecycle hooks of a group (PutLifecycleHook's API reference)."""
RESULTS = ("CONTINUE", "ABANDON")
"""Results of a lifecycle action."""


class EmulatedAutoScaling(Tracking):
    """Auto Scaling in one AWS region. Requests and the schedule are several threads: each holds ``lock``."""

    def __init__(self, *args: Moto, **options: Moto) -> None:
        self.lock = threading.RLock()
        super().__init__(*args, **options)

    @property
    def _url_module(self) -> Moto:
        """moto looks for a service's URLs beside the backend's module, which is not true of this one."""
        return urls

    def create_auto_scaling_group(self, name: str, *args: Moto, **options: Moto) -> FakeAutoScalingGroup:
        """Create a group and launch its first instances."""
        if name in self.autoscaling_groups:
            message = (
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists"
            )
            raise AutoscalingClientError("AlreadyExists", message)
        sizes = (options.get(size) for size in ("min_size", "max_size", "desired_capacity"))
        minimum, maximum, desired = (None if size is None else int(size) for size in sizes)
        group = super().create_auto_scaling_group(name, *args, **options)
        try:
            self.group(name).check_bounds(minimum or 0, maximum or 0, desired)
        except AutoscalingClientError:
            del self.autoscaling_groups[name]
            raise
        if options.get("health_check_period") is None:
            group.health_check_grace_period = 0
        self.reconcile(self.group(name))
        return group

    def update_auto_scaling_group(self, name: str, *args: Moto, **options: Moto) -> FakeAutoScalingGroup:
        """Change a group and reconcile it."""
        self.group(name)
        if any(options.get(source) for source in LAUNCH_SOURCES):
            self.check_update(name)
        group = super().update_auto_scaling_group(name, *args, **options)
        self.reconcile(self.group(name))
        return group

    def delete_auto_scaling_group(self, group_name: str, force: bool = False) -> None:
        """Delete a group. With ``force`` terminate its instances without waiting for a hook."""
        group = self.group(group_name)
        if not force:
            group.check_empty()
        elif group.retains:
            raise invalid(
                f"The instance lifecycle policy of AutoScalingGroup {group_name} retains instances, which "
                "ForceDelete would terminate. Set TerminateHookAbandon to terminate before."
            )
        group.deleting = True
        group.min_size = group.max_size = group.desired_capacity = 0
        self.lifecycle_hooks = {
            key: hook
            for key, hook in self.lifecycle_hooks.items()
            if hook.auto_scaling_group_name != group_name
        }
        for member in list(group.instance_states):
            member.actions.clear()
            if member.lifecycle_state != lifecycle.DETACHING:
                self.terminate(group, member, "the group is deleted", hooks=False)
            self.proceed(group, member)
        self.advance_group(group)

    def set_desired_capacity(self, group_name: str, desired_capacity: int | None) -> None:
        """Launch or terminate as many instances as the new capacity takes."""
        group = self.group(group_name)
        group.check_desired(desired_capacity or 0)
        group.set_desired_capacity(desired_capacity)
        self.reconcile(group)

    def set_instance_protection(
        self, group_name: str, instance_ids: list[str], protected_from_scale_in: bool | None
    ) -> None:
        """Protect instances from scale-in, or end their protection."""
        members = self.members(self.group(group_name), instance_ids)
        for member in members:
            if member.lifecycle_state not in lifecycle.PROTECTABLE:
                raise invalid(
                    f"The instance {member.instance_id} is not in InService or EnteringStandby or Standby."
                )
        for member in members:
            member.protected_from_scale_in = protected_from_scale_in

    def set_instance_health(self, instance_id: str, health_status: str, respect_grace: bool = True) -> None:
        """Set an instance's health. ``Unhealthy`` within a respected grace period is ignored."""
        group, member = self._find(instance_id)
        grace = group.checks.grace if respect_grace else 0
        if health_status == "Unhealthy" and self.clock() < member.in_service_at + grace:
            return
        member.health_status = health_status
        member.unhealthy_because = "SetInstanceHealth said so"

    def terminate_instance(self, instance_id: str, should_decrement: bool) -> TerminateInstanceActivity:
        """Terminate an instance, protected or not. One that is terminating already only gets its activity."""
        group, member = self._find(instance_id)
        before = group.capacity
        if member.terminating:
            return TerminateInstanceActivity(member.instance, before)
        if should_decrement:
            if member.lifecycle_state == lifecycle.TERMINATING_RETAINED:
                raise invalid(
                    f"The instance {instance_id} is retained: it does not count towards the desired capacity."
                )
            if before <= (group.min_size or 0):
                raise invalid(
                    f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without "
                    "replacement will violate group's min size constraint. Either set "
                    "shouldDecrementDesiredCapacity flag to false or lower group's min size."
                )
            group.desired_capacity = before - 1
        activity = TerminateInstanceActivity(member.instance, before)
        self.terminate(group, member, activity.cause, activity)
        self.reconcile(group)
        return activity

    def notify_terminate_instances(self, instance_ids: list[str]) -> None:
        """Do nothing: the next health check finds terminated instances. moto replaces them at once."""

    def configure(self, name: str, settings: dict[str, Moto]) -> None:
        """Keep settings of a group that moto drops: its attributes by their names."""
        group = self.group(name)
        for attribute, value in settings.items():
            setattr(group, attribute, value)
        self.reconcile(group)

    def create_lifecycle_hook(
        self, name: str, as_name: str, transition: str | None, timeout: int | None, result: str | None
    ) -> LifecycleHook:
        """Create a hook of an existing group, or change what the request names of one.

        Open actions keep their time-outs.
        """
        group = self.group(as_name)
        found = self.describe_lifecycle_hooks(as_name)
        known = next((hook for hook in found if hook.name == name), None)
        if known is not None:
            transition = transition or known.lifecycle_transition
            timeout, result = timeout or known.heartbeat_timeout, result or known.default_result
        elif len(found) >= MOST_HOOKS:
            message = f"AutoScalingGroup {group.name} has {MOST_HOOKS} lifecycle hooks already. Delete one."
            raise AutoscalingClientError("LimitExceeded", message)
        if transition not in lifecycle.HOOKS:
            raise invalid(f"LifecycleTransition must be one of {', '.join(lifecycle.HOOKS)}.")
        if result not in (None, *RESULTS):
            raise invalid("DefaultResult must be CONTINUE or ABANDON.")
        made = super().create_lifecycle_hook(name, as_name, transition, timeout, result)  # type: ignore[arg-type]
        vars(made).update(role_arn=None, notification_target_arn=None)  # moto answers some of its own
        return made

    def suspend_processes(self, group_name: str, scaling_processes: list[str]) -> None:
        """Suspend processes of a group, or all."""
        _check_processes(scaling_processes)
        super().suspend_processes(self.group(group_name).name, scaling_processes)

    def resume_processes(self, group_name: str, scaling_processes: list[str]) -> None:
        """Resume processes of a group, or all."""
        _check_processes(scaling_processes)
        super().resume_processes(self.group(group_name).name, scaling_processes)

    def delete_lifecycle_hook(self, as_name: str, name: str) -> None:
        """Delete a hook. ABANDON completes the open actions of launches, CONTINUE those of terminations."""
        group = self.group(as_name)
        for member in list(group.instance_states):
            if name in member.actions:
                launching = member.lifecycle_state == lifecycle.PENDING_WAIT
                self.complete(group, member, name, "ABANDON" if launching else "CONTINUE")
        super().delete_lifecycle_hook(as_name, name)
        self.reconcile(group)

    def record_heartbeat(
        self, group_name: str, hook: str, token: str | None, instance_id: str | None
    ) -> None:
        """Restart the time-out of an open lifecycle action."""
        member = self._with_open_action(group_name, hook, token, instance_id)
        member.actions[hook].heartbeat(self.clock())

    def complete_action(
        self, group_name: str, hook: str, token: str | None, instance_id: str | None, result: str
    ) -> None:
        """Close an open lifecycle action."""
        if result not in RESULTS:
            raise invalid("LifecycleActionResult must be CONTINUE or ABANDON")
        group = self.group(group_name)
        self.complete(group, self._with_open_action(group_name, hook, token, instance_id), hook, result)
        self.reconcile(group)

    def recommend_rebalance(self, instance_id: str) -> None:
        """Launch a replacement for an instance at risk, if its group has CapacityRebalance."""
        with self.lock:
            for group in self.groups():
                for member in group.instance_states:
                    if member.instance_id == instance_id and group.capacity_rebalance:
                        member.at_risk = True
                        self.reconcile(group)

    def advance(self) -> None:
        """Take every group to the state that it has reached by now."""
        with self.lock:
            for group in self.groups():
                self.advance_group(group)

    def follow(self) -> None:
        """Have target tracking policies act on the last minute."""
        with self.lock:
            self.follow_load()

    def check_health(self) -> None:
        """Check the instances of every group, and replace unhealthy ones."""
        with self.lock:
            for group in self.groups():
                self.replace_unhealthy(group)

    def _find(self, instance_id: str) -> tuple[EmulatedGroup, Member]:
        for group in self.groups():
            for member in group.instance_states:
                if member.instance_id == instance_id:
                    return group, member
        raise invalid(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")

    def _with_open_action(
        self, group_name: str, hook: str, token: str | None, instance_id: str | None
    ) -> Member:
        """Return the member with an open action of that hook, by the action's token or the instance's id."""
        for member in self.group(group_name).instance_states:
            action = member.actions.get(hook)
            if action is None or action.deadline <= self.clock():
                continue
            if token == action.token or (token is None and instance_id == member.instance_id):
                return member
        named = f"token {token}" if token is not None else f"instance ID {instance_id}"
        raise invalid(f"No active Lifecycle Action found with {named}")


def check_lifecycle_policy(policy: dict[str, Moto] | None) -> None:
    """Refuse an InstanceLifecyclePolicy with an unknown retention.

    :raises AutoscalingClientError: with what is allowed.
    """
    retention = ((policy or {}).get("RetentionTriggers") or {}).get("TerminateHookAbandon", RETENTIONS[0])
    if retention not in RETENTIONS:
        raise invalid(f"TerminateHookAbandon must be {' or '.join(RETENTIONS)}, not {retention}.")


def check_termination_policies(policies: list[str] | None) -> None:
    """Refuse termination policies that are not emulated.

    :raises AutoscalingClientError: with those that are.
    """
    for policy in policies or []:
        if policy not in RULES:
            raise invalid(f"The termination policy {policy} is not one of {', '.join(RULES)}.")


def _check_processes(processes: list[str]) -> None:
    for process in processes:
        if process not in PROCESSES:
            raise invalid(f"The process {process} is not one of {', '.join(PROCESSES)}.")


def check_health_types(types: str | None) -> None:
    """Refuse a HealthCheckType that names an unknown health check.

    :raises AutoscalingClientError: with those that are known.
    """
    if types is not None and not is_valid(types):
        raise invalid(f"HealthCheckType {types} is not valid. Name one or more of {', '.join(TYPES)}.")


def backend() -> EmulatedAutoScaling:
    """Return the Auto Scaling of the emulated account and region."""
    found = autoscaling_backends[ACCOUNT][aws_region()]
    if not isinstance(found, EmulatedAutoScaling):
        raise TypeError("moto served Auto Scaling before install(): call install() before the first request.")
    return found
