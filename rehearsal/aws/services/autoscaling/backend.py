"""Plays Auto Scaling: moto's API and bookkeeping, with groups that keep their capacity and ask their hooks.

An instance is ``Pending`` until its machine runs, then ``InService``. Whatever ends it (a lower desired
capacity, TerminateInstanceInAutoScalingGroup, bad health), it is ``Terminating:Wait`` while an action of
a hook for ``autoscaling:EC2_INSTANCE_TERMINATING`` waits, then ``Terminating:Proceed`` until EC2 has
terminated it. An instance that stopped or ended without the group's doing is unhealthy and replaced.
Fewer instances than desired are made more, more are made fewer, never by a protected one. Deletion by
force waits for no hook, as AWS documents it: who wants drains first sets minimum and desired capacity to
0. With ``CapacityRebalance`` an instance that EC2 recommends to replace is ended once a replacement is in
service.

Left out: hooks for launching, notifications of hooks, warm pools, scheduled actions, alarms (scaling
policies execute only when asked), health as load balancers see it, cool-downs, instance refresh and
maintenance policies, weights, allocation strategies (the first type is launched), termination policies
but the default, moving instances between zones, several InstanceIds in one
TerminateInstanceInAutoScalingGroup.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from moto.autoscaling import models, urls
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import (
    Activity,
    AutoScalingBackend,
    FakeAutoScalingGroup,
    LifecycleHook,
    TerminateInstanceActivity,
    autoscaling_backends,
)
from moto.core.exceptions import ServiceException
from moto.elbv2.exceptions import TargetGroupNotFoundError

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.aws.services.autoscaling.models import (
    Action,
    Member,
    Moto,
    RehearsedGroup,
    invalid,
    longest_wait,
)
from rehearsal.aws.services.autoscaling.responses import AutoScalingCalls, Locked
from rehearsal.aws.timers import Schedule

log = logging.getLogger(__name__)
ADVANCE_EVERY = 0.5
"""Seconds between two looks at what waits: machines that boot or end, hooks whose time is up."""
HEALTH_EVERY = 5.0
"""Seconds between two looks at the health of instances. AWS says "periodically"; a minute there is common."""
LAUNCH_AGAIN_AFTER = 30.0
"""Seconds after a launch that failed."""
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
HEARTBEATS = range(30, 7201)
"""Seconds that PutLifecycleHook takes as HeartbeatTimeout (its API reference)."""
ENDED = ("stopping", "stopped", "shutting-down", "terminated")
"""States of EC2 with which an instance is unhealthy, whatever its grace period."""
PROTECTABLE = ("InService", "EnteringStandby", "Standby")


class RehearsedAutoScaling(Locked, AutoScalingBackend):
    """Auto Scaling of one region of AWS. Callers hold ``lock``: requests and schedule are several threads."""

    clock: Callable[[], float] = time.monotonic

    @property
    def _url_module(self) -> Moto:
        """moto finds a service's URLs by the name of the backend's module, which is not ours."""
        return urls

    def create_auto_scaling_group(self, name: str, *args: Moto, **options: Moto) -> FakeAutoScalingGroup:
        """Make the group and launch its first instances."""
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
        self._keep(self.group(name))
        return group

    def update_auto_scaling_group(self, name: str, *args: Moto, **options: Moto) -> FakeAutoScalingGroup:
        """Change the group and keep its capacity."""
        self.group(name)
        group = super().update_auto_scaling_group(name, *args, **options)
        self._keep(self.group(name))
        return group

    def delete_auto_scaling_group(self, group_name: str, force: bool = False) -> None:
        """Delete a group; with force, end its instances without waiting for a hook."""
        group = self.group(group_name)
        if not force:
            group.check_empty()
        group.deleting = True
        group.min_size = group.max_size = group.desired_capacity = 0
        self.lifecycle_hooks = {
            key: hook
            for key, hook in self.lifecycle_hooks.items()
            if hook.auto_scaling_group_name != group_name
        }
        for member in list(group.instance_states):
            member.actions.clear()
            self._end(group, member, "the group is deleted")
            self._settle(member)
        self._advance(group)

    def set_desired_capacity(self, group_name: str, desired_capacity: int | None) -> None:
        """Launch or end as many as it takes."""
        group = self.group(group_name)
        group.check_desired(desired_capacity or 0)
        group.set_desired_capacity(desired_capacity)
        self._keep(group)

    def set_instance_protection(
        self, group_name: str, instance_ids: list[str], protected_from_scale_in: bool | None
    ) -> None:
        """Keep instances out of scale-in, or let them be ended again."""
        group = self.group(group_name)
        members = {member.instance_id: member for member in group.instance_states}
        for instance_id in instance_ids:
            if instance_id not in members:
                raise invalid(f"The instance {instance_id} is not part of Auto Scaling group {group_name}.")
            if members[instance_id].lifecycle_state not in PROTECTABLE:
                raise invalid(
                    f"The instance {instance_id} is not in InService or EnteringStandby or Standby."
                )
        for instance_id in instance_ids:
            members[instance_id].protected_from_scale_in = protected_from_scale_in

    def set_instance_health(self, instance_id: str, health_status: str, respect_grace: bool = True) -> None:
        """Note somebody's judgement; within the grace period only if it is told not to respect it."""
        group, member = self._find(instance_id)
        grace = (group.health_check_grace_period or 0) if respect_grace else 0
        if health_status == "Unhealthy" and self.clock() < member.in_service_at + grace:
            return
        member.health_status = health_status

    def terminate_instance(self, instance_id: str, should_decrement: bool) -> TerminateInstanceActivity:
        """End this very instance, protected or not; of one that ends already only its activity is told."""
        group, member = self._find(instance_id)
        before = group.capacity
        if member.lifecycle_state.startswith("Terminating"):
            return TerminateInstanceActivity(member.instance, before)
        if should_decrement:
            if before <= (group.min_size or 0):
                raise invalid(
                    f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without "
                    "replacement will violate group's min size constraint. Either set "
                    "shouldDecrementDesiredCapacity flag to false or lower group's min size."
                )
            group.desired_capacity = before - 1
        activity = TerminateInstanceActivity(member.instance, before)
        self._end(group, member, activity.cause, activity)
        self._keep(group)
        return activity

    def notify_terminate_instances(self, instance_ids: list[str]) -> None:
        """moto replaces what EC2 is asked to terminate at once; here the next look at the health finds it."""

    def create_lifecycle_hook(
        self, name: str, as_name: str, transition: str, timeout: int | None, result: str
    ) -> LifecycleHook:
        """Make or change a hook; actions that wait keep what they began with."""
        self.group(as_name)
        if timeout is not None and timeout not in HEARTBEATS:
            raise invalid("HeartbeatTimeout must be between 30 and 7200 seconds")
        hook = super().create_lifecycle_hook(name, as_name, transition, timeout, result)
        hook.global_timeout = int(longest_wait(hook.heartbeat_timeout))
        return hook

    def delete_lifecycle_hook(self, as_name: str, name: str) -> None:
        """Forget a hook; its actions end with CONTINUE."""
        for member in self.group(as_name).instance_states:
            if member.actions.pop(name, None):
                self._settle(member)
        super().delete_lifecycle_hook(as_name, name)

    def record_heartbeat(
        self, group_name: str, hook: str, token: str | None, instance_id: str | None
    ) -> None:
        """Let an action's time-out begin again."""
        member = self._waiting(group_name, hook, token, instance_id)
        member.actions[hook].heartbeat(self.clock())

    def complete_action(
        self, group_name: str, hook: str, token: str | None, instance_id: str | None, result: str
    ) -> None:
        """End an action; after ABANDON those of the other hooks too."""
        if result not in ("CONTINUE", "ABANDON"):
            raise invalid("LifecycleActionResult must be CONTINUE or ABANDON")
        self._complete(self._waiting(group_name, hook, token, instance_id), hook, result)

    def recommend_rebalance(self, instance_id: str) -> None:
        """EC2 recommends to replace an instance; a group that follows such advice does."""
        for group in self._groups():
            for member in group.instance_states:
                if member.instance_id == instance_id and group.capacity_rebalance:
                    member.at_risk = True
                    self._keep(group)

    def update_attached_target_groups(self, group_name: str) -> None:
        """Who is in service is a target; moto forgets to take the others out."""
        group = self.group(group_name)
        serving = [m.instance_id for m in group.instance_states if m.lifecycle_state == "InService"]
        others = [{"Id": m.instance_id} for m in group.instance_states if m.instance_id not in serving]
        for arn in group.target_group_arns:
            try:
                (found,) = self.elbv2_backend.describe_target_groups(None, [arn], None)
            except TargetGroupNotFoundError:
                continue  # deleted before its group
            self.elbv2_backend.register_targets(arn, [{"Id": one, "Port": found.port} for one in serving])
            self.elbv2_backend.deregister_targets(arn, others)

    def advance(self) -> None:
        """Take every group as far as it has come by now."""
        with self.lock:
            for group in self._groups():
                self._advance(group)

    def look_at_health(self) -> None:
        """Find the instances that ended by themselves or were said to be unhealthy, and replace them."""
        with self.lock:
            for group in self._groups():
                if not group.suspended("HealthCheck"):
                    for member in list(group.instance_states):
                        self._judge(group, member)
                    self._keep(group)

    def group(self, name: str) -> RehearsedGroup:
        """The group of that name.

        Raises:
            AutoscalingClientError: there is none.
        """
        found = self.autoscaling_groups.get(name)
        if not isinstance(found, RehearsedGroup):
            raise invalid(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return found

    def _groups(self) -> list[RehearsedGroup]:
        return [group for group in self.autoscaling_groups.values() if isinstance(group, RehearsedGroup)]

    def _find(self, instance_id: str) -> tuple[RehearsedGroup, Member]:
        for group in self._groups():
            for member in group.instance_states:
                if member.instance_id == instance_id:
                    return group, member
        raise invalid(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")

    def _waiting(self, group_name: str, hook: str, token: str | None, instance_id: str | None) -> Member:
        """The member for which an action of that hook waits; a hook that does not exist has none."""
        for member in self.group(group_name).instance_states:
            action = member.actions.get(hook)
            if action is None or action.deadline <= self.clock():
                continue
            if token == action.token or (token is None and instance_id == member.instance_id):
                return member
        named = f"token {token}" if token is not None else f"instance ID {instance_id}"
        raise invalid(f"No active Lifecycle Action found with {named}")

    def _judge(self, group: RehearsedGroup, member: Member) -> None:
        if member.lifecycle_state != "InService":
            return
        if member.instance.state in ENDED:
            member.health_status = "Unhealthy"
        if member.health_status == "Unhealthy" and not group.suspended("ReplaceUnhealthy"):
            self._end(group, member, f"it is unhealthy; EC2 says {member.instance.state}")

    def _keep(self, group: RehearsedGroup) -> None:
        """Launch what is missing, end what is too much."""
        if group.deleting:
            return
        serving = group.counted()
        steady = [member for member in serving if not member.at_risk]
        if not group.suspended("Launch"):
            for _ in range(group.capacity - len(steady)):
                if not self._launch(group):
                    break
        if group.suspended("Terminate"):
            return
        for member in group.victims(len(steady) - group.capacity):
            self._end(group, member, f"the capacity is to be {group.capacity}")
        if sum(member.lifecycle_state == "InService" for member in steady) >= group.capacity:
            for member in serving:
                if member.at_risk:
                    self._end(group, member, "it is at risk and its replacement is in service")

    def _launch(self, group: RehearsedGroup) -> bool:
        if self.clock() < group.launch_again_at:
            return False
        activity = Activity("Launching a new EC2 instance", f"the capacity is to be {group.capacity}", group)
        group.activities.appendleft(activity)
        try:
            member = group.launch()
        except ServiceException as error:
            self._failed(group, activity, str(error))
            return False
        activity.description += f": {member.instance_id}"
        member.activity = activity
        return True

    def _failed(self, group: RehearsedGroup, activity: Activity | None, reason: str) -> None:
        log.warning("%s cannot launch: %s", group.name, reason)
        group.launch_again_at = self.clock() + LAUNCH_AGAIN_AFTER
        if activity is not None:
            activity.status_code = "Failed"
            vars(activity)["status_message"] = reason

    def _end(
        self, group: RehearsedGroup, member: Member, cause: str, activity: Activity | None = None
    ) -> None:
        """Begin the end of a member, unless it has begun."""
        if member.lifecycle_state.startswith("Terminating"):
            return
        log.info("%s ends %s: %s", group.name, member.instance_id, cause)
        member.activity = activity or Activity(
            f"Terminating EC2 instance: {member.instance_id}", cause, group
        )
        group.activities.appendleft(member.activity)
        member.actions = {
            hook.name: Action(hook, self.clock())
            for hook in self.lifecycle_hooks.values()
            if hook.auto_scaling_group_name == group.name and hook.lifecycle_transition == TERMINATING
        }
        member.lifecycle_state = "Terminating:Wait"
        self.update_attached_target_groups(group.name)
        if member.actions:
            member.activity.status_code = "MidTerminatingLifecycleAction"
        self._settle(member)

    def _complete(self, member: Member, hook: str, result: str) -> None:
        del member.actions[hook]
        if result == "ABANDON":
            member.actions.clear()
        self._settle(member)

    def _settle(self, member: Member) -> None:
        """Have EC2 terminate a member for which no action waits any more."""
        if member.lifecycle_state == "Terminating:Wait" and not member.actions:
            member.lifecycle_state = "Terminating:Proceed"
            self.ec2_backend.terminate_instances([member.instance_id])

    def _advance(self, group: RehearsedGroup) -> None:
        for member in list(group.instance_states):
            self._follow(group, member)
        self._keep(group)
        if group.deleting and not group.instance_states:
            self.autoscaling_groups.pop(group.name, None)

    def _follow(self, group: RehearsedGroup, member: Member) -> None:
        """One member's next step, if its time has come."""
        state = member.instance.state
        if member.lifecycle_state == "Pending" and state == "running":
            member.lifecycle_state = "InService"
            member.in_service_at = self.clock()
            member.done()
            self.update_attached_target_groups(group.name)
        elif member.lifecycle_state == "Pending" and state in ENDED:
            self._failed(group, member.activity, f"{member.instance_id} is {state} before it was in service")
            self._end(group, member, "it did not start")
            member.actions.clear()
            self._settle(member)
        for name, action in list(member.actions.items()):
            if name in member.actions and self.clock() >= action.deadline:
                self._complete(member, name, action.hook.default_result)
        if member.lifecycle_state == "Terminating:Proceed" and state == "terminated":
            member.lifecycle_state = "Terminated"
            member.done()
            group.instance_states.remove(member)


def install(schedule: Schedule) -> None:
    """Put the rehearsed Auto Scaling in the place of moto's, for later requests; after ``ec2.install``."""
    vars(models)["FakeAutoScalingGroup"] = RehearsedGroup
    vars(models)["InstanceState"] = Member
    urls.url_paths["{0}/$"] = AutoScalingCalls.dispatch
    RehearsedAutoScaling.clock = staticmethod(schedule.clock)
    autoscaling_backends.backend = RehearsedAutoScaling
    schedule.every(ADVANCE_EVERY, lambda: backend().advance())
    schedule.every(HEALTH_EVERY, lambda: backend().look_at_health())


def backend() -> RehearsedAutoScaling:
    """The Auto Scaling of the account and region that are played."""
    found: Any = autoscaling_backends[ACCOUNT][aws_region()]
    if not isinstance(found, RehearsedAutoScaling):
        raise TypeError("moto's own Auto Scaling was used before install()")
    return found
