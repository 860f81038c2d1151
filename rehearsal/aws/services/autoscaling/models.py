"""Emulates Auto Scaling's objects: groups, their instances, and open lifecycle actions.

``rehearsal.aws.services.autoscaling.backend`` lists what is left out.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import (
    ASG_NAME_TAG,
    Activity,
    FakeAutoScalingGroup,
    InstanceState,
    LifecycleHook,
)

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.health import Checks
from rehearsal.aws.services.patching import Moto

LONGEST_WAIT = 48 * 3600
"""Seconds. A lifecycle action ends after 48 hours or a hundred heartbeat time-outs, whichever is less
(https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html)."""
RETENTIONS = ("retain", "terminate")
"""Values of InstanceLifecyclePolicy.RetentionTriggers.TerminateHookAbandon (API reference)."""


def invalid(message: str) -> AutoscalingClientError:
    """Return the error with which Auto Scaling refuses most invalid requests."""
    return AutoscalingClientError("ValidationError", message)


def longest_wait(heartbeat: float) -> float:
    """Return the seconds after which an action ends whatever its heartbeats (GlobalTimeout)."""
    return min(LONGEST_WAIT, 100 * heartbeat)


@dataclass
class LifecycleAction:
    """An open lifecycle action. It times out at ``deadline``, which heartbeats move, at most to ``limit``."""

    hook: LifecycleHook
    now: float
    token: str = field(default_factory=lambda: str(uuid4()))
    deadline: float = 0.0
    limit: float = 0.0

    def __post_init__(self) -> None:
        self.limit = self.now + longest_wait(self.hook.heartbeat_timeout)
        self.heartbeat(self.now)

    def heartbeat(self, now: float) -> None:
        """Restart the time-out."""
        self.deadline = min(now + self.hook.heartbeat_timeout, self.limit)


class Member(InstanceState):
    """An instance of a group, with the launch template version that it was launched from."""

    def __init__(self, instance: Moto, lifecycle_state: str = "InService", **options: Moto) -> None:
        self.instance: Moto = instance
        super().__init__(instance, lifecycle_state, **options)
        self.template: dict[str, str] | None = None
        self.launched = False
        """Whether its launch is over. It does not start again when the instance leaves Standby."""
        self.in_service_at = 0.0
        self.balanced = True
        """Whether the group registers it with its load balancers: AddToLoadBalancer was not suspended."""
        self.actions: dict[str, LifecycleAction] = {}
        self.abandoned = False
        """Whether a lifecycle action of its present transition ended with ABANDON."""
        self.at_risk = False
        """Whether EC2 recommended to replace it and its group has CapacityRebalance."""
        self.unhealthy_because = ""
        self.activity: Activity | None = None
        """Its scaling activity in progress."""

    @property
    def lifecycle_state(self) -> str:
        """Its lifecycle state. A change also changes the instance's metadata."""
        return self._lifecycle_state

    @lifecycle_state.setter
    def lifecycle_state(self, state: str) -> None:
        lifecycle.check_transition(vars(self).get("_lifecycle_state"), state)
        self._lifecycle_state = state
        self.instance.target_lifecycle_state = lifecycle.TARGETS.get(state, lifecycle.TERMINATED)

    @property
    def launch_template(self) -> dict[str, Any] | None:
        """The launch template with the number of the version, as of the launch."""
        return self.template

    @property
    def version(self) -> int:
        """The launch template's version; 0 for an instance that was attached."""
        return int(self.template["Version"]) if self.template else 0

    @property
    def counted(self) -> bool:
        """Whether it counts towards the desired capacity."""
        return self.lifecycle_state in lifecycle.COUNTED

    @property
    def terminating(self) -> bool:
        """Whether its termination has begun, and was not given up."""
        return self.lifecycle_state in lifecycle.ENDING

    def finish_activity(self, status: str = "Successful") -> None:
        """Record that the activity in progress is over."""
        if self.activity is not None:
            self.activity.status_code = status
            self.activity.progress = 100
            self.activity = None


class EmulatedGroup(FakeAutoScalingGroup):
    """A group that holds settings and members; ``reconciliation`` launches and terminates."""

    instance_states: list[Member]  # type: ignore[assignment]  # install() puts Member in InstanceState's place

    def __init__(self, *args: Moto, **options: Moto) -> None:
        self.activities: deque[Activity] = deque(maxlen=100)
        self.deleting = False
        self.launch_again_at = 0.0
        self.default_instance_warmup: int | None = None
        self.instance_lifecycle_policy: dict[str, Any] | None = None
        super().__init__(*args, **options)

    @property
    def status(self) -> str | None:
        """Status in DescribeAutoScalingGroups: None unless the group is being deleted."""
        return "Delete in progress" if self.deleting else None

    @property
    def capacity(self) -> int:
        """The desired capacity."""
        return self.desired_capacity or 0

    @property
    def checks(self) -> Checks:
        """The group's health checks."""
        return Checks(self.health_check_type or "EC2", float(self.health_check_grace_period or 0))

    @property
    def retains(self) -> bool:
        """Whether instances are kept whose termination a lifecycle hook abandons."""
        triggers = (self.instance_lifecycle_policy or {}).get("RetentionTriggers") or {}
        return bool(triggers.get("TerminateHookAbandon") == "retain")

    def set_desired_capacity(self, new_capacity: int | None) -> None:
        """Set the number; the backend reconciles."""
        self.desired_capacity = self.min_size if new_capacity is None else new_capacity

    def check_bounds(self, minimum: int, maximum: int, desired: int | None) -> None:
        """Refuse sizes that contradict each other.

        :raises AutoscalingClientError: with AWS's message.
        """
        if minimum > maximum:
            raise invalid(f"Max bound, {maximum}, must be greater than or equal to min bound, {minimum}")
        if desired is not None and not minimum <= desired <= maximum:
            raise invalid(
                f"Desired capacity:{desired} must be between the specified min size:{minimum} "
                f"and max size:{maximum}"
            )

    def check_desired(self, desired: int) -> None:
        """Refuse a desired capacity outside the bounds.

        :raises AutoscalingClientError: with AWS's message.
        """
        bound = None
        if desired > (self.max_size or 0):
            bound = f"above max value {self.max_size}"
        elif desired < (self.min_size or 0):
            bound = f"below min value {self.min_size}"
        if bound:
            raise invalid(f"New SetDesiredCapacity value {desired} is {bound} for the AutoScalingGroup.")

    def check_empty(self) -> None:
        """Refuse to delete a group that has instances.

        :raises AutoscalingClientError: with AWS's message.
        """
        refused = "You cannot delete an AutoScalingGroup while there are"
        if any(not member.terminating for member in self.instance_states):
            message = f"{refused} instances or pending Spot instance request(s) still in the group."
            raise AutoscalingClientError("ResourceInUse", message)
        if self.instance_states:
            message = f"{refused} scaling activities in progress for that group."
            raise AutoscalingClientError("ScalingActivityInProgress", message)

    def update(self, *args: Moto, **options: Moto) -> None:
        """Change what the request names; keep the desired capacity within the new bounds."""
        size = {name: options.get(name) for name in ("min_size", "max_size", "desired_capacity")}
        minimum = self.min_size if size["min_size"] is None else size["min_size"]
        maximum = self.max_size if size["max_size"] is None else size["max_size"]
        self.check_bounds(minimum or 0, maximum or 0, size["desired_capacity"])
        if size["desired_capacity"] is None:
            options["desired_capacity"] = min(max(self.capacity, minimum or 0), maximum or 0)
        super().update(*args, **options)

    def suspended(self, process: str) -> bool:
        """Return whether one of the group's processes is suspended."""
        return any(each["ProcessName"] == process for each in self.suspended_processes)

    def counted(self) -> list[Member]:
        """Return the members that count towards the desired capacity."""
        return [member for member in self.instance_states if member.counted]

    def select_for_termination(self, count: int) -> list[Member]:
        """Select members for scale-in as AWS's default termination policy does.

        Protected ones are never selected. First come members in the zone with most members, then those of the
        oldest launch template version, then those launched first.
        """
        left, chosen = [member for member in self.counted() if not member.at_risk], list[Member]()
        for _ in range(count):
            candidates = [member for member in left if not member.protected_from_scale_in]
            if not candidates:
                break
            zones = Counter(member.availability_zone for member in left)
            most = max(zones[member.availability_zone] for member in candidates)
            crowded = (member for member in candidates if zones[member.availability_zone] == most)
            oldest = min(crowded, key=lambda member: (member.version, member.instance.launch_time))
            left.remove(oldest)
            chosen.append(oldest)
        return chosen

    def launch(self) -> Member:
        """Launch one instance from the group's template, in the subnet or zone with fewest members.

        :raises ServiceException: EC2 refused.
        """
        subnets = self.vpc_zone_identifier.split(",") if self.vpc_zone_identifier else []
        peers = self.counted()
        count = Counter(
            member.instance.subnet_id if subnets else member.availability_zone for member in peers
        )
        location = min(subnets or self.availability_zones, key=lambda each: count[each])
        options: dict[str, Any] = {"subnet_id": location} if subnets else {"placement": location}
        template: dict[str, str] | None = None
        if self.ec2_launch_template is not None:
            version = self.ec2_launch_template.get_version(self.launch_template_version)
            template = {
                "LaunchTemplateId": self.ec2_launch_template.id,
                "LaunchTemplateName": self.ec2_launch_template.name,
                "Version": str(version.number),
            }
            options |= {
                "launch_template": {"LaunchTemplateId": template["LaunchTemplateId"]}
                | {"Version": template["Version"]},
                "instance_initiated_shutdown_behavior": version.data.get("InstanceInitiatedShutdownBehavior"),
                "instance_market_options": version.data.get("InstanceMarketOptions"),
            }
        else:
            options |= {
                "launch_config": self.launch_config,
                "iam_instance_profile_name": self.launch_config.iam_instance_profile,
                "key_name": self.launch_config.key_name,
            }
        if self._next_is_spot(peers):
            options["instance_market_options"] = {"MarketType": "spot"}
        reservation = self.ec2_backend.run_instances(
            self.image_id,
            1,
            self.user_data,
            self.security_groups,
            instance_type=self._type(),
            is_instance_type_default=False,
            region_name=self.region,
            tags={"instance": self.get_propagated_tags() | {ASG_NAME_TAG: self.name}},
            **options,
        )
        instance: Moto = reservation.instances[0]
        instance.autoscaling_group = self
        member = Member(
            instance, "Pending", protected_from_scale_in=self.new_instances_protected_from_scale_in
        )
        member.template = template
        self.instance_states.append(member)
        return member

    def _type(self) -> str:
        """Return the first type of a mixed instances policy: every type has capacity here."""
        policy = self.mixed_instances_policy or {}
        overrides = policy.get("LaunchTemplate", {}).get("Overrides") or [{}]
        return str(overrides[0].get("InstanceType") or self.instance_type)

    def _next_is_spot(self, peers: list[Member]) -> bool:
        """Return whether the next instance has to be a Spot instance by the policy's distribution."""
        if not self.mixed_instances_policy:
            return False
        distribution = self.mixed_instances_policy.get("InstancesDistribution", {})
        base = int(distribution.get("OnDemandBaseCapacity") or 0)
        percent = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100))
        size = len(peers) + 1
        wanted = min(base, size) + math.ceil(max(0, size - base) * percent / 100)
        return wanted <= sum(1 for member in peers if member.instance.lifecycle != "spot")
