"""Instances that leave a group alive, and come back: Standby, DetachInstances and AttachInstances.

Sources: the API reference of these operations, and the EC2 Auto Scaling user guide, "Temporarily remove
instances from your Auto Scaling group" and "Detach or attach instances". Requests are refused with AWS's
messages, as users report them.

Left out: whether launch hooks run when an instance leaves Standby or is attached (AWS does not document it;
here they do not), connection draining before ``Standby`` and ``Detached``, attaching an instance of a Zone or
an AMI that does not fit.
"""

from __future__ import annotations

from moto.autoscaling.models import (
    ASG_NAME_TAG,
    DetachInstanceActivity,
    EnterStandbyActivity,
    ExitStandbyActivity,
)

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.models import EmulatedGroup, Member, invalid
from rehearsal.aws.services.autoscaling.reconciliation import Reconciliation

MOST_INSTANCES = 20
"""Instances that one of these requests may name (API reference)."""


class Membership(Reconciliation):
    """The operations that move instances out of the desired capacity, and back."""

    def enter_standby_instances(
        self, group_name: str, instance_ids: list[str], should_decrement: bool
    ) -> list[EnterStandbyActivity]:
        """Put instances in service on standby. Unless the capacity is lowered, others replace them."""
        group = self.group(group_name)
        members = self._named(group, instance_ids)
        _check_states(members, "InService", {lifecycle.IN_SERVICE})
        before = group.capacity
        if should_decrement:
            self._resize(group, -len(members), "To place into standby")
        activities = []
        for member in members:
            activity = EnterStandbyActivity(member.instance, before)
            member.lifecycle_state = lifecycle.ENTERING_STANDBY
            member.activity = activity
            group.activities.appendleft(activity)
            activities.append(activity)
        self.update_attached_target_groups(group.name)
        self.reconcile(group)
        return activities

    def exit_standby_instances(self, group_name: str, instance_ids: list[str]) -> list[ExitStandbyActivity]:
        """Return instances from standby to service, and raise the capacity by their number."""
        group = self.group(group_name)
        members = self._named(group, instance_ids)
        _check_states(members, "Standby", {lifecycle.STANDBY})
        _check_launch(group)
        before = group.capacity
        self._resize(group, len(members), "To take out of standby")
        activities = []
        for member in members:
            activity = ExitStandbyActivity(member.instance, before)
            member.lifecycle_state = lifecycle.PENDING
            member.activity = activity
            group.activities.appendleft(activity)
            activities.append(activity)
        return activities

    def detach_instances(
        self, group_name: str, instance_ids: list[str], should_decrement: bool
    ) -> list[DetachInstanceActivity]:
        """Let instances go without terminating them. Unless the capacity is lowered, others replace them."""
        group = self.group(group_name)
        members = self._named(group, instance_ids)
        leaving = {lifecycle.IN_SERVICE, lifecycle.STANDBY, lifecycle.TERMINATING_RETAINED}
        _check_states(members, "InService or Standby", leaving)
        counted = [member for member in members if member.counted]
        if should_decrement:
            if any(member.lifecycle_state == lifecycle.TERMINATING_RETAINED for member in members):
                raise invalid("A retained instance does not count towards the desired capacity to decrement.")
            self._resize(group, -len(counted), "To detach")
        activities = []
        for member in members:
            activity = DetachInstanceActivity(member.instance)
            member.lifecycle_state = lifecycle.DETACHING
            member.activity = activity
            group.activities.appendleft(activity)
            activities.append(activity)
            self.ec2_backend.delete_tags([member.instance_id], {ASG_NAME_TAG: group.name})
        self.update_attached_target_groups(group.name)
        self.reconcile(group)
        return activities

    def attach_instances(self, group_name: str, instance_ids: list[str]) -> None:
        """Take running instances into a group, and raise the capacity by their number."""
        group = self.group(group_name)
        _check_count(instance_ids)
        _check_launch(group)
        instances = [self.ec2_backend.get_instance(instance_id) for instance_id in instance_ids]
        for instance in instances:
            if instance.state != "running":
                raise invalid(f"Invalid Instance ID: {instance.id}. Instance is not in correct state.")
            for other in self.groups():
                if any(member.instance_id == instance.id for member in other.instance_states):
                    raise invalid(
                        f"The instance {instance.id} is already part of AutoScalingGroup:{other.name}"
                    )
        self._resize(group, len(instances), "To attach")
        for instance in instances:
            self.ec2_backend.create_tags([instance.id], {ASG_NAME_TAG: group.name})
            vars(instance)["autoscaling_group"] = group
            protected = group.new_instances_protected_from_scale_in
            member = Member(instance, lifecycle.PENDING, protected_from_scale_in=protected)
            member.launched = True
            group.instance_states.append(member)

    def _named(self, group: EmulatedGroup, instance_ids: list[str]) -> list[Member]:
        _check_count(instance_ids)
        return self.members(group, instance_ids)

    def _resize(self, group: EmulatedGroup, change: int, purpose: str) -> None:
        """Change the desired capacity.

        :raises AutoscalingClientError: it would leave the group's bounds.
        """
        wanted = group.capacity + change
        if not (group.min_size or 0) <= wanted <= (group.max_size or 0):
            count = f"{abs(change)} instance{'s' if abs(change) > 1 else ''}"
            raise invalid(
                f"AutoScalingGroup {group.name} has min-size={group.min_size}, max-size={group.max_size}, "
                f"and desired-size={group.capacity}. {purpose} {count}, please update the AutoScalingGroup "
                "sizes appropriately."
            )
        group.desired_capacity = wanted


def _check_count(instance_ids: list[str]) -> None:
    if not 1 <= len(instance_ids) <= MOST_INSTANCES:
        raise invalid(f"Between 1 and {MOST_INSTANCES} instances can be named, not {len(instance_ids)}.")


def _check_launch(group: EmulatedGroup) -> None:
    if group.suspended("Launch"):
        raise invalid(f"The process Launch of AutoScalingGroup {group.name} is suspended.")


def _check_states(members: list[Member], names: str, states: set[str]) -> None:
    for member in members:
        if member.lifecycle_state not in states:
            raise invalid(f"The instance {member.instance_id} is not in {names}.")
