"""Carries out instance refreshes: their requests, their records, and the steps that ``refresh`` decides.

Sources: the API reference of StartInstanceRefresh, DescribeInstanceRefreshes, CancelInstanceRefresh and
RollbackInstanceRefresh, and the EC2 Auto Scaling user guide, "Undo changes with a manual or auto rollback"
(https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html).

While a refresh with a DesiredConfiguration goes on, the group launches that configuration, refuses another in
UpdateAutoScalingGroup, and adopts it at the end. A rollback replaces what the refresh has launched.

Left out: events, refreshes of the last six weeks only, how a LaunchTemplate as the desired configuration of a
group with a mixed instances policy is merged (here it takes the policy's place).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import uuid4

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.core.utils import utcnow

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.configuration import (
    Configuration,
    adopt,
    configuration_of,
    read_configuration,
)
from rehearsal.aws.services.autoscaling.membership import Membership
from rehearsal.aws.services.autoscaling.models import EmulatedGroup, Member, invalid
from rehearsal.aws.services.autoscaling.preferences import read_preferences
from rehearsal.aws.services.autoscaling.refresh import Group, Instance, Preferences, Progress, Step, decide
from rehearsal.aws.services.patching import Moto

AlarmState: TypeAlias = Callable[[str], str | None]
"""Returns the state of a CloudWatch alarm by its name; None if there is none."""

ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
"""Statuses in which a group can have no other refresh."""
TRANSITIONS = {
    "Pending": {"InProgress", "Cancelling", "RollbackInProgress"},
    "InProgress": {"Baking", "Successful", "Failed", "Cancelling", "RollbackInProgress"},
    "Baking": {"Successful", "Failed", "Cancelling", "RollbackInProgress"},
    "RollbackInProgress": {"RollbackSuccessful", "RollbackFailed", "Cancelling"},
    "Cancelling": {"Cancelled"},
}
"""The statuses that may follow each status (API reference, InstanceRefresh)."""
PAUSING = ("Launch", "Terminate", "InstanceRefresh")
"""Suspended processes with which a refresh replaces nothing."""
IN_PROGRESS = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."
IRREVERSIBLE = (
    "The request failed because a desired configuration was not found or an incompatible launch template "
    "(uses a Systems Manager parameter instead of an AMI ID) or launch template version ($Latest or "
    "$Default) is present on the Auto Scaling group."
)


@dataclass
class Refresh:
    """One instance refresh of a group."""

    group: str
    preferences: Preferences
    requested: dict[str, Moto]
    """Preferences, as the request gave them."""
    desired: dict[str, Moto] | None
    """DesiredConfiguration, as the request gave it."""
    configuration: Configuration | None
    """What it deploys; None for what the group launches anyway."""
    before: frozenset[str]
    """The instances that the group had at its start."""
    progress: Progress
    name: str = field(default_factory=lambda: str(uuid4()))
    status: str = "Pending"
    reason: str = ""
    started: datetime = field(default_factory=utcnow)
    ended: datetime | None = None
    deployed: frozenset[str] = frozenset()
    """The instances that a rollback replaces."""
    rollback: dict[str, Moto] | None = None
    """RollbackDetails."""
    baking_until: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it is not over."""
        return self.status in ACTIVE

    @property
    def rolling_back(self) -> bool:
        """Whether it is being rolled back."""
        return self.status == "RollbackInProgress"

    def become(self, status: str, reason: str = "") -> None:
        """Go to another status."""
        if status not in TRANSITIONS[self.status]:
            raise lifecycle.ImpossibleTransitionError(
                f"{self.status} → {status} is not a transition of an instance refresh."
            )
        self.status, self.reason = status, reason
        if not self.active:
            self.ended = utcnow()

    def described(self) -> dict[str, Moto]:
        """Return it as DescribeInstanceRefreshes does."""
        percent, to_update = self.progress.percent, self.progress.to_update
        if self.rollback is not None:
            goal = self.progress.updated + to_update
            percent = min(self.rollback["PercentageCompleteOnRollback"], 100 * to_update // max(1, goal))
            to_update = self.rollback["InstancesToUpdateOnRollback"]
        return {
            "InstanceRefreshId": self.name,
            "AutoScalingGroupName": self.group,
            "Status": self.status,
            "StatusReason": self.reason or None,
            "StartTime": self.started,
            "EndTime": self.ended,
            "PercentageComplete": percent,
            "InstancesToUpdate": to_update,
            "Preferences": self.requested,
            "DesiredConfiguration": self.desired,
            "RollbackDetails": self.rollback,
            "Strategy": "Rolling",
        }


class Refreshing(Membership):
    """The operations of instance refreshes, and their steps."""

    alarm_state: AlarmState

    def __init__(self, *args: Moto, **options: Moto) -> None:
        self.refreshes: dict[str, list[Refresh]] = {}
        """By group, the newest last."""
        super().__init__(*args, **options)

    def start_instance_refresh(
        self, group_name: str, strategy: str, desired: dict[str, Any] | None, given: dict[str, Any]
    ) -> str:
        """Begin to replace a group's instances. Return the refresh's id."""
        group = self.group(group_name)
        if self.active_refresh(group_name) is not None:
            raise AutoscalingClientError("InstanceRefreshInProgress", IN_PROGRESS)
        if strategy != "Rolling":
            raise invalid(f"The strategy {strategy} is not emulated. Use Rolling.")
        configuration = read_configuration(self.ec2_backend, group, desired) if desired else None
        preferences = read_preferences(given, group.warmup, desired_configuration=configuration is not None)
        if preferences.auto_rollback:
            self._check_reversible(group, configuration, "ValidationError")
        for alarm in preferences.alarms:
            if self.alarm_state(alarm) is None:
                raise invalid(f"AlarmSpecification names the alarm {alarm}, which does not exist.")
        made = Refresh(
            group_name,
            preferences,
            requested=given,
            desired=desired,
            configuration=configuration,
            before=frozenset(member.instance_id for member in group.instance_states),
            progress=Progress(self.clock()),
        )
        made.progress = self._step(group, made).progress
        self.refreshes.setdefault(group_name, []).append(made)
        return made.name

    def cancel_instance_refresh(self, group_name: str, *, wait: bool) -> str:
        """Stop a refresh or a rollback. What it has replaced stays. Return its id."""
        found = self._needed(group_name, *ACTIVE)
        if found.status != "Cancelling":
            found.become("Cancelling", "The instance refresh is cancelled.")
        self.group(group_name).surplus = 0
        if not wait:
            found.become("Cancelled", "The instance refresh was cancelled.")
        return found.name

    def rollback_instance_refresh(self, group_name: str) -> str:
        """Replace what a refresh has launched by what was there before. Return its id."""
        group = self.group(group_name)
        found = self._needed(group_name, "Pending", "InProgress", "Baking")
        self._check_reversible(group, found.configuration, "IrreversibleInstanceRefresh")
        self._roll_back(group, found, "A rollback was requested.")
        return found.name

    def describe_instance_refreshes(self, group_name: str, names: list[str]) -> list[dict[str, Moto]]:
        """Return a group's refreshes, the newest first."""
        self.group(group_name)
        found = reversed(self.refreshes.get(group_name, []))
        return [each.described() for each in found if not names or each.name in names]

    def active_refresh(self, group_name: str) -> Refresh | None:
        """Return the refresh of a group that is not over."""
        return next((each for each in self.refreshes.get(group_name, []) if each.active), None)

    def configuration(self, group: EmulatedGroup) -> Configuration | None:
        """Return what the group launches now: what a refresh deploys, or its own."""
        found = self.active_refresh(group.name)
        if found is not None and found.configuration is not None and found.status in ("InProgress", "Baking"):
            return found.configuration
        return super().configuration(group)

    def check_update(self, group_name: str) -> None:
        """Refuse to change what a group launches while a refresh deploys another configuration.

        :raises AutoscalingClientError: with AWS's message.
        """
        found = self.active_refresh(group_name)
        if found is not None and found.configuration is not None:
            raise invalid(
                "An active instance refresh with a desired configuration exists. All configuration options "
                "derived from the desired configuration are not available for update while the instance "
                "refresh is active."
            )

    def advance_group(self, group: EmulatedGroup) -> None:
        """Take the group's refresh and its instances on."""
        found = self.active_refresh(group.name)
        if group.deleting:
            self.refreshes.pop(group.name, None)
        elif found is not None:
            self._advance_refresh(group, found)
        super().advance_group(group)

    def rebalance(self, group: EmulatedGroup) -> None:
        """Move instances between zones, but begin nothing while a refresh replaces them anyway."""
        if group.rebalancing is not None or self.active_refresh(group.name) is None:
            super().rebalance(group)

    def _advance_refresh(self, group: EmulatedGroup, found: Refresh) -> None:
        if found.status == "Pending":
            found.become("InProgress")
        if found.status == "Cancelling":
            if not any(_moves(member) for member in group.instance_states):
                found.become("Cancelled", "The instance refresh was cancelled.")
            return
        alarmed = [each for each in found.preferences.alarms if self.alarm_state(each) == "ALARM"]
        if alarmed and not found.rolling_back:
            self._fail(group, found, f"The alarm {alarmed[0]} is in ALARM.")
        elif found.status == "Baking":
            if self.clock() >= found.baking_until:
                self._succeed(group, found)
        elif not any(group.suspended(process) for process in PAUSING):
            self._carry_out(group, found, self._step(group, found))

    def _carry_out(self, group: EmulatedGroup, found: Refresh, step: Step) -> None:
        found.progress, found.reason, group.surplus = step.progress, step.reason, step.surplus
        for member in self.members(group, step.end):
            self.terminate(group, member, f"the instance refresh {found.name} replaces it")
        if step.failed:
            self._fail(group, found, step.reason)
        elif step.done and found.preferences.bake_time and not found.rolling_back:
            found.baking_until = self.clock() + found.preferences.bake_time
            found.become("Baking")
        elif step.done:
            self._succeed(group, found)

    def _step(self, group: EmulatedGroup, found: Refresh) -> Step:
        now = self.clock()
        target = found.configuration or configuration_of(group)
        instances = []
        for member in group.instance_states:
            if not (
                member.counted or member.lifecycle_state in (lifecycle.ENTERING_STANDBY, lifecycle.STANDBY)
            ):
                continue
            new = member.instance_id not in found.before
            if found.rolling_back:
                updated = member.instance_id not in found.deployed
                warm = new
            else:
                skipped = found.preferences.skip_matching and target is not None and target.matches(member)
                updated, warm = new or skipped, new
            instances.append(_seen(member, now, updated=updated, warms=warm, warmup=found.preferences.warmup))
        seen = Group(group.capacity, tuple(instances), _trouble(group, found, now))
        return decide(now, seen, found.preferences, found.progress)

    def _fail(self, group: EmulatedGroup, found: Refresh, reason: str) -> None:
        group.surplus = 0
        if found.rolling_back:
            found.become("RollbackFailed", reason)
        elif found.preferences.auto_rollback:
            self._roll_back(group, found, reason)
        else:
            found.become("Failed", reason)

    def _succeed(self, group: EmulatedGroup, found: Refresh) -> None:
        group.surplus = 0
        if found.rolling_back:
            found.become("RollbackSuccessful")
            return
        found.become("Successful")
        if found.configuration is not None:
            adopt(group, found.configuration)

    def _roll_back(self, group: EmulatedGroup, found: Refresh, reason: str) -> None:
        progress = found.progress
        found.become("RollbackInProgress", reason)
        found.rollback = {
            "RollbackReason": reason,
            "RollbackStartTime": utcnow(),
            "PercentageCompleteOnRollback": progress.percent,
            "InstancesToUpdateOnRollback": progress.to_update,
        }
        present = {member.instance_id for member in group.instance_states}
        found.deployed = frozenset(present - found.before)
        found.preferences = found.preferences.reversed()
        found.progress = Progress(self.clock())
        found.progress = self._step(group, found).progress
        group.surplus = 0

    def _needed(self, group_name: str, *statuses: str) -> Refresh:
        self.group(group_name)
        found = self.active_refresh(group_name)
        if found is None or found.status not in statuses:
            message = f"No in progress or pending Instance Refresh found for Auto Scaling group {group_name}"
            raise AutoscalingClientError("ActiveInstanceRefreshNotFound", message)
        return found

    def _check_reversible(self, group: EmulatedGroup, desired: Configuration | None, code: str) -> None:
        own = configuration_of(group)
        if desired is None or own is None or not own.reversible:
            raise AutoscalingClientError(code, IRREVERSIBLE)


def _seen(member: Member, now: float, *, updated: bool, warms: bool, warmup: float) -> Instance:
    serves = member.lifecycle_state == lifecycle.IN_SERVICE and member.health_status == "Healthy"
    return Instance(
        member.instance_id,
        updated=updated,
        ready=serves and (not warms or now - member.in_service_at >= warmup),
        protected=bool(member.protected_from_scale_in),
        standby=not member.counted,
    )


def _trouble(group: EmulatedGroup, found: Refresh, now: float) -> str:
    """Return what keeps a replacement from service, or nothing."""
    if group.launch_again_at > now:
        return "Instances cannot be launched; see the scaling activities."
    sick = [
        member.instance_id
        for member in group.instance_states
        if member.instance_id not in found.before and member.health_status == "Unhealthy"
    ]
    return f"The new instance {sick[0]} is unhealthy." if sick else ""


def _moves(member: Member) -> bool:
    """Return whether a member is being launched or terminated."""
    return member.lifecycle_state not in (
        lifecycle.IN_SERVICE,
        lifecycle.STANDBY,
        lifecycle.TERMINATING_RETAINED,
    )
