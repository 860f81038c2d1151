"""Brings Auto Scaling groups to their desired capacity, one step of each instance at a time.

An instance is ``Pending`` until its machine runs, then ``InService``. Whatever ends it (a lower desired
capacity, TerminateInstanceInAutoScalingGroup, bad health), it is ``Terminating:Wait`` while a lifecycle
action of a hook for ``autoscaling:EC2_INSTANCE_TERMINATING`` is open, then ``Terminating:Proceed`` until EC2
has terminated it. Source: the EC2 Auto Scaling user guide, "Amazon EC2 Auto Scaling instance lifecycle".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from moto.autoscaling.models import Activity, AutoScalingBackend
from moto.core.exceptions import ServiceException

from rehearsal.aws.services.autoscaling.models import EmulatedGroup, LifecycleAction, Member

log = logging.getLogger(__name__)
LAUNCH_AGAIN_AFTER = 30.0
"""Seconds after a launch that failed."""
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
ENDED = ("stopping", "stopped", "shutting-down", "terminated")
"""EC2 states in which an instance is unhealthy, whatever the grace period."""


class Reconciliation(AutoScalingBackend):
    """The steps that launch and terminate instances. Callers hold the backend's lock."""

    clock: Callable[[], float] = time.monotonic

    def reconcile(self, group: EmulatedGroup) -> None:
        """Launch what is missing and terminate what is too much."""
        if group.deleting:
            return
        members = group.counted()
        steady = [member for member in members if not member.at_risk]
        if not group.suspended("Launch"):
            for _ in range(group.capacity - len(steady)):
                if not self._launch(group):
                    break
        if group.suspended("Terminate"):
            return
        for member in group.select_for_termination(len(steady) - group.capacity):
            self.terminate(group, member, f"the desired capacity is {group.capacity}")
        if sum(member.lifecycle_state == "InService" for member in steady) >= group.capacity:
            for member in members:
                if member.at_risk:
                    self.terminate(group, member, "it is at risk and its replacement is in service")

    def advance_group(self, group: EmulatedGroup) -> None:
        """Take each instance to its next state if the time has come, then reconcile the group."""
        for member in list(group.instance_states):
            self._advance_member(group, member)
        self.reconcile(group)
        if group.deleting and not group.instance_states:
            self.autoscaling_groups.pop(group.name, None)

    def replace_unhealthy(self, group: EmulatedGroup) -> None:
        """Terminate members in service that ended or are marked unhealthy, and reconcile the group."""
        for member in list(group.instance_states):
            if member.lifecycle_state != "InService":
                continue
            if member.instance.state in ENDED:
                member.health_status = "Unhealthy"
            if member.health_status == "Unhealthy" and not group.suspended("ReplaceUnhealthy"):
                self.terminate(group, member, f"it is unhealthy; EC2 says {member.instance.state}")
        self.reconcile(group)

    def terminate(
        self, group: EmulatedGroup, member: Member, cause: str, activity: Activity | None = None
    ) -> None:
        """Begin to terminate a member: open its lifecycle actions. Does nothing where that has begun."""
        if member.terminating:
            return
        log.info("%s terminates %s: %s", group.name, member.instance_id, cause)
        member.activity = activity or Activity(
            f"Terminating EC2 instance: {member.instance_id}", cause, group
        )
        group.activities.appendleft(member.activity)
        member.actions = {
            hook.name: LifecycleAction(hook, self.clock())
            for hook in self.lifecycle_hooks.values()
            if hook.auto_scaling_group_name == group.name and hook.lifecycle_transition == TERMINATING
        }
        member.lifecycle_state = "Terminating:Wait"
        self.update_attached_target_groups(group.name)
        if member.actions:
            member.activity.status_code = "MidTerminatingLifecycleAction"
        self.proceed(member)

    def complete(self, member: Member, hook: str, result: str) -> None:
        """Close a lifecycle action; with ABANDON close the member's others too."""
        del member.actions[hook]
        if result == "ABANDON":
            member.actions.clear()
        self.proceed(member)

    def proceed(self, member: Member) -> None:
        """Have EC2 terminate a member that has no open lifecycle action."""
        if member.lifecycle_state == "Terminating:Wait" and not member.actions:
            member.lifecycle_state = "Terminating:Proceed"
            self.ec2_backend.terminate_instances([member.instance_id])

    def _launch(self, group: EmulatedGroup) -> bool:
        """Launch one instance. Return False if EC2 refused, or refused a short while ago."""
        if self.clock() < group.launch_again_at:
            return False
        cause = f"the desired capacity is {group.capacity}"
        activity = Activity("Launching a new EC2 instance", cause, group)
        group.activities.appendleft(activity)
        try:
            member = group.launch()
        except ServiceException as error:
            self._launch_failed(group, activity, str(error))
            return False
        activity.description += f": {member.instance_id}"
        member.activity = activity
        return True

    def _launch_failed(self, group: EmulatedGroup, activity: Activity | None, reason: str) -> None:
        log.warning("%s cannot launch: %s", group.name, reason)
        group.launch_again_at = self.clock() + LAUNCH_AGAIN_AFTER
        if activity is not None:
            activity.status_code = "Failed"
            vars(activity)["status_message"] = reason

    def _advance_member(self, group: EmulatedGroup, member: Member) -> None:
        state = member.instance.state
        if member.lifecycle_state == "Pending" and state == "running":
            member.lifecycle_state = "InService"
            member.in_service_at = self.clock()
            member.finish_activity()
            self.update_attached_target_groups(group.name)
        elif member.lifecycle_state == "Pending" and state in ENDED:
            reason = f"{member.instance_id} is {state} before it was in service"
            self._launch_failed(group, member.activity, reason)
            self.terminate(group, member, "it did not start")
            member.actions.clear()
            self.proceed(member)
        for name, action in list(member.actions.items()):
            if name in member.actions and self.clock() >= action.deadline:
                self.complete(member, name, action.hook.default_result)
        if member.lifecycle_state == "Terminating:Proceed" and state == "terminated":
            member.lifecycle_state = "Terminated"
            member.finish_activity()
            group.instance_states.remove(member)
