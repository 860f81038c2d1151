"""Brings Auto Scaling groups to their desired capacity, one step of each instance at a time.

An instance is ``Pending`` until its machine runs, ``Pending:Wait`` while a lifecycle action of a hook for
``autoscaling:EC2_INSTANCE_LAUNCHING`` is open, then ``Pending:Proceed`` and ``InService``. Whatever ends it
(a lower desired capacity, TerminateInstanceInAutoScalingGroup, bad health, a launch that a hook abandons), it
is ``Terminating``, ``Terminating:Wait`` while a lifecycle action of a hook for
``autoscaling:EC2_INSTANCE_TERMINATING`` is open, then ``Terminating:Proceed`` until EC2 has terminated it; or
``Terminating:Retained``, where the group's InstanceLifecyclePolicy retains instances whose hook ended with
ABANDON. ``rehearsal.aws.services.autoscaling.lifecycle`` has the table and its sources.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from moto.autoscaling.models import Activity, AutoScalingBackend
from moto.core.exceptions import ServiceException

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.configuration import Configuration, configuration_of
from rehearsal.aws.services.autoscaling.health import ENDED, unhealthy_because
from rehearsal.aws.services.autoscaling.models import EmulatedGroup, LifecycleAction, Member, invalid
from rehearsal.aws.services.autoscaling.placement import (
    imbalance,
    launch,
    select_for_termination,
    select_in_zone,
)

log = logging.getLogger(__name__)
TargetHealth: TypeAlias = Callable[[str], Mapping[str, str]]
"""Returns the state of each target of a target group, by the group's ARN and the instances' ids."""
LAUNCH_AGAIN_AFTER = 30.0
"""Seconds after a launch that failed."""
REBALANCE_AGAIN_AFTER = 300.0
"""Seconds between two attempts of AZRebalance to balance a group. AWS documents none."""


class Reconciliation(AutoScalingBackend):
    """The steps that launch and terminate instances. Callers hold the backend's lock."""

    clock: Callable[[], float] = time.monotonic
    target_health: TargetHealth

    def reconcile(self, group: EmulatedGroup) -> None:
        """Launch what is missing and terminate what is too much."""
        if group.deleting:
            return
        members = group.counted()
        steady = [member for member in members if not member.at_risk]
        wanted = group.capacity + group.surplus + (group.rebalancing is not None)
        if not group.suspended("Launch"):
            for _ in range(wanted - len(steady)):
                if not self._launch(group):
                    break
        if group.suspended("Terminate"):
            return
        for member in select_for_termination(group, len(steady) - wanted):
            self.terminate(group, member, f"the desired capacity is {group.capacity}")
        if sum(member.lifecycle_state == lifecycle.IN_SERVICE for member in steady) >= group.capacity:
            for member in members:
                if member.at_risk:
                    self.terminate(group, member, "it is at risk and its replacement is in service")

    def advance_group(self, group: EmulatedGroup) -> None:
        """Take each instance to its next state if the time has come, then reconcile the group."""
        for member in list(group.instance_states):
            self._advance_member(group, member)
        self.rebalance(group)
        self.reconcile(group)
        if group.deleting and not group.instance_states:
            self.autoscaling_groups.pop(group.name, None)
            for policy in self.describe_policies(group.name):
                self.delete_policy(policy.name)

    def rebalance(self, group: EmulatedGroup) -> None:
        """Move an instance from a zone that has too many, when nothing else changes (AZRebalance).

        Its replacement is launched before, so that the group has one instance more than it wants.
        """
        if group.rebalancing is not None:
            self._end_rebalancing(group, *group.rebalancing)
            return
        members = group.counted()
        stopped = any(group.suspended(process) for process in ("AZRebalance", "Launch"))
        steady = all(
            member.lifecycle_state == lifecycle.IN_SERVICE and not member.at_risk for member in members
        )
        if stopped or not steady or group.surplus or group.deleting or len(members) != group.capacity:
            return
        uneven = imbalance(group)
        if uneven is None or self.clock() < group.rebalance_again_at:
            return
        group.rebalance_again_at = self.clock() + REBALANCE_AGAIN_AFTER
        if select_in_zone(group, uneven[0]) is not None and self._launch(group, uneven[1]):
            group.rebalancing = (group.instance_states[-1].instance_id, uneven[0])

    def _end_rebalancing(self, group: EmulatedGroup, instance_id: str, zone: str) -> None:
        new = [member for member in group.counted() if member.instance_id == instance_id]
        if new and new[0].lifecycle_state != lifecycle.IN_SERVICE:
            return
        if not new or not group.suspended("Terminate"):
            group.rebalancing = None
            leaving = select_in_zone(group, zone) if new else None
            if leaving is not None and len(group.counted()) > group.capacity:
                self.terminate(
                    group, leaving, f"the group is not balanced, with too many instances in {zone}"
                )

    def replace_unhealthy(self, group: EmulatedGroup) -> None:
        """Mark members in service that are unhealthy, terminate marked ones, and reconcile the group.

        A member that SetInstanceHealth marked is terminated even where the process HealthCheck is suspended.
        """
        if not group.suspended("HealthCheck"):
            self._mark_unhealthy(group)
        if not (group.suspended("ReplaceUnhealthy") or group.suspended("Terminate")):
            for member in list(group.instance_states):
                if member.lifecycle_state == lifecycle.IN_SERVICE and member.health_status == "Unhealthy":
                    self.terminate(group, member, f"it is unhealthy: {member.unhealthy_because}")
        self.reconcile(group)

    def _mark_unhealthy(self, group: EmulatedGroup) -> None:
        balanced = "ELB" in group.checks.types.split(",")
        health = [self.target_health(arn) for arn in group.target_group_arns] if balanced else []
        for member in group.instance_states:
            if member.lifecycle_state != lifecycle.IN_SERVICE:
                continue
            targets = [states.get(member.instance_id, "unused") for states in health]
            in_service = self.clock() - member.in_service_at
            reason = unhealthy_because(group.checks, member.instance.state, targets, in_service)
            if reason is not None:
                member.health_status = "Unhealthy"
                member.unhealthy_because = reason

    def terminate(
        self,
        group: EmulatedGroup,
        member: Member,
        cause: str,
        activity: Activity | None = None,
        *,
        hooks: bool = True,
    ) -> None:
        """Begin to terminate a member: open its lifecycle actions. Does nothing where that has begun.

        :param hooks: whether the termination waits for the group's hooks.
        """
        if member.terminating:
            return
        log.info("%s terminates %s: %s", group.name, member.instance_id, cause)
        member.activity = activity or Activity(
            f"Terminating EC2 instance: {member.instance_id}", cause, group
        )
        group.activities.appendleft(member.activity)
        member.lifecycle_state = lifecycle.TERMINATING
        member.actions = self._actions(group, lifecycle.TERMINATING_HOOK) if hooks else {}
        member.abandoned = False
        self.update_attached_target_groups(group.name)
        if member.actions:
            member.lifecycle_state = lifecycle.TERMINATING_WAIT
            member.activity.status_code = "MidTerminatingLifecycleAction"
        else:
            self.ec2_backend.terminate_instances([member.instance_id])

    def complete(self, group: EmulatedGroup, member: Member, hook: str, result: str) -> None:
        """Close a lifecycle action; with ABANDON close the member's others too."""
        del member.actions[hook]
        if result == "ABANDON":
            member.actions.clear()
            member.abandoned = True
        self.proceed(group, member)

    def proceed(self, group: EmulatedGroup, member: Member) -> None:
        """Take a member on that waited for lifecycle actions, if none is open any more."""
        if member.actions:
            return
        if member.lifecycle_state == lifecycle.PENDING_WAIT:
            if member.abandoned:
                member.finish_activity("Cancelled")
                self.terminate(group, member, "a lifecycle hook abandoned its launch")
            else:
                member.lifecycle_state = lifecycle.PENDING_PROCEED
        elif member.lifecycle_state == lifecycle.TERMINATING_WAIT:
            member.lifecycle_state = lifecycle.TERMINATING_PROCEED
            if member.abandoned and group.retains:
                member.lifecycle_state = lifecycle.TERMINATING_RETAINED
                member.finish_activity("Cancelled")
            else:
                self.ec2_backend.terminate_instances([member.instance_id])

    def configuration(self, group: EmulatedGroup) -> Configuration | None:
        """Return what the group launches now; None for a launch configuration."""
        return configuration_of(group)

    def group(self, name: str) -> EmulatedGroup:
        """Return a group.

        :raises AutoscalingClientError: there is none of that name.
        """
        found = self.autoscaling_groups.get(name)
        if not isinstance(found, EmulatedGroup):
            raise invalid(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return found

    def groups(self) -> list[EmulatedGroup]:
        """Return all groups."""
        return [group for group in self.autoscaling_groups.values() if isinstance(group, EmulatedGroup)]

    def members(self, group: EmulatedGroup, instance_ids: Iterable[str]) -> list[Member]:
        """Return the group's members of these ids.

        :raises AutoscalingClientError: one is not in the group.
        """
        known = {member.instance_id: member for member in group.instance_states}
        for instance_id in instance_ids:
            if instance_id not in known:
                raise invalid(f"The instance {instance_id} is not part of Auto Scaling group {group.name}.")
        return [known[instance_id] for instance_id in instance_ids]

    def _actions(self, group: EmulatedGroup, transition: str) -> dict[str, LifecycleAction]:
        """Open an action of each of the group's hooks for a transition."""
        return {
            hook.name: LifecycleAction(hook, self.clock())
            for hook in self.lifecycle_hooks.values()
            if hook.auto_scaling_group_name == group.name and hook.lifecycle_transition == transition
        }

    def _launch(self, group: EmulatedGroup, zone: str | None = None) -> bool:
        """Launch one instance, in any zone or in one. Return False if EC2 refused, or did just before."""
        if self.clock() < group.launch_again_at:
            return False
        cause = (
            f"the desired capacity is {group.capacity}" if zone is None else f"{zone} has too few instances"
        )
        activity = Activity("Launching a new EC2 instance", cause, group)
        group.activities.appendleft(activity)
        try:
            member = launch(group, self.configuration(group), zone)
        except ServiceException as error:
            self._launch_failed(
                group, activity, str(error), again_in=LAUNCH_AGAIN_AFTER if zone is None else 0.0
            )
            return False
        activity.description += f": {member.instance_id}"
        member.activity = activity
        return True

    def _launch_failed(
        self,
        group: EmulatedGroup,
        activity: Activity | None,
        reason: str,
        again_in: float = LAUNCH_AGAIN_AFTER,
    ) -> None:
        log.warning("%s cannot launch: %s", group.name, reason)
        group.launch_again_at = self.clock() + again_in
        if activity is not None:
            activity.status_code = "Failed"
            vars(activity)["status_message"] = reason

    def _advance_member(self, group: EmulatedGroup, member: Member) -> None:
        ec2 = member.instance.state
        if member.lifecycle_state in lifecycle.COUNTED - {lifecycle.IN_SERVICE}:
            if ec2 in ENDED:
                self._never_served(group, member)
            elif ec2 == "running":
                self._advance_launch(group, member)
        for name, action in list(member.actions.items()):
            if name in member.actions and self.clock() >= action.deadline:
                self.complete(group, member, name, action.hook.default_result)
        if member.lifecycle_state == lifecycle.ENTERING_STANDBY:
            member.lifecycle_state = lifecycle.STANDBY
            member.finish_activity()
        elif member.lifecycle_state == lifecycle.DETACHING:
            self._leave(group, member, lifecycle.DETACHED)
        elif member.lifecycle_state in lifecycle.ENDING and not member.actions and ec2 == "terminated":
            self._leave(group, member, lifecycle.TERMINATED)

    def _advance_launch(self, group: EmulatedGroup, member: Member) -> None:
        """Take a member whose machine runs towards its service, by way of the group's launch hooks."""
        if member.lifecycle_state == lifecycle.PENDING and not member.launched:
            member.launched = True
            member.actions = self._actions(group, lifecycle.LAUNCHING_HOOK)
            if member.actions:
                member.lifecycle_state = lifecycle.PENDING_WAIT
                if member.activity is not None:
                    member.activity.status_code = "MidLifecycleAction"
        if member.lifecycle_state != lifecycle.PENDING_WAIT:
            member.lifecycle_state = lifecycle.IN_SERVICE
            member.in_service_at = self.clock()
            member.balanced = not group.suspended("AddToLoadBalancer")
            member.finish_activity()
            self.update_attached_target_groups(group.name)

    def _never_served(self, group: EmulatedGroup, member: Member) -> None:
        """End a member whose machine ended before it was in service. Nothing is left for a hook to do."""
        reason = f"{member.instance_id} is {member.instance.state} before it was in service"
        self._launch_failed(group, member.activity, reason)
        self.terminate(group, member, "it did not start", hooks=False)

    def _leave(self, group: EmulatedGroup, member: Member, state: str) -> None:
        member.lifecycle_state = state
        member.finish_activity()
        group.instance_states.remove(member)
