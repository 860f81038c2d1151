"""Plays Auto Scaling's objects: moto's groups and members, with what they launch, whom they end, and for how
long a lifecycle action waits.

Left out: see ``rehearsal.aws.services.autoscaling.backend``.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import uuid4

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import (
    ASG_NAME_TAG,
    Activity,
    FakeAutoScalingGroup,
    InstanceState,
    LifecycleHook,
)

Moto: TypeAlias = Any
"""What moto passes to itself; its types are moto's business."""
LONGEST_WAIT = 48 * 3600
"""Seconds. No lifecycle action waits longer, nor longer than a hundred heartbeats, whichever is less
(docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html)."""
COUNTED = ("Pending", "InService")
"""Lifecycle states of what counts towards the desired capacity; what waits for its end does not."""
TARGETS = {"Pending": "InService", "InService": "InService", "Standby": "Standby", "Detached": "Detached"}
"""What an instance reads as autoscaling/target-lifecycle-state; of all others it is Terminated."""


def invalid(message: str) -> AutoscalingClientError:
    """The error by which Auto Scaling refuses almost everything."""
    return AutoscalingClientError("ValidationError", message)


def longest_wait(heartbeat: float) -> float:
    """Seconds that an action of a hook with this heartbeat time-out may wait in all."""
    return min(LONGEST_WAIT, 100 * heartbeat)


@dataclass
class Action:
    """A lifecycle action that waits: until ``deadline``, which heartbeats move on, at most to ``limit``."""

    hook: LifecycleHook
    now: float
    token: str = field(default_factory=lambda: str(uuid4()))
    deadline: float = 0.0
    limit: float = 0.0

    def __post_init__(self) -> None:
        self.limit = self.now + longest_wait(self.hook.heartbeat_timeout)
        self.heartbeat(self.now)

    def heartbeat(self, now: float) -> None:
        """Let the time-out begin again."""
        self.deadline = min(now + self.hook.heartbeat_timeout, self.limit)


class Member(InstanceState):
    """An instance of a group; it knows which version of the launch template it was launched from."""

    def __init__(self, instance: Moto, lifecycle_state: str = "InService", **options: Moto) -> None:
        self.instance: Moto = instance
        super().__init__(instance, lifecycle_state, **options)
        self.template: dict[str, str] | None = None
        self.in_service_at = 0.0
        self.actions: dict[str, Action] = {}
        self.at_risk = False
        """EC2 has recommended to replace it, and its group does."""
        self.activity: Activity | None = None
        """What is under way with it."""

    @property
    def lifecycle_state(self) -> str:
        """Where in its life it is; the instance reads of it in its metadata."""
        return self._lifecycle_state

    @lifecycle_state.setter
    def lifecycle_state(self, state: str) -> None:
        self._lifecycle_state = state
        self.instance.target_lifecycle_state = TARGETS.get(state, "Terminated")

    @property
    def launch_template(self) -> dict[str, Any] | None:
        """The template and the version by number, as of its launch."""
        return self.template

    @property
    def version(self) -> int:
        """The launch template's version; of an instance that was attached, 0."""
        return int(self.template["Version"]) if self.template else 0

    @property
    def counted(self) -> bool:
        """Whether it is part of the capacity."""
        return self.lifecycle_state in COUNTED

    def done(self, status: str = "Successful") -> None:
        """Note how what was under way has ended."""
        if self.activity is not None:
            self.activity.status_code = status
            self.activity.progress = 100
            self.activity = None


class RehearsedGroup(FakeAutoScalingGroup):
    """A group that only says what it wants: the backend launches and ends, one step after another."""

    instance_states: list[Member]  # type: ignore[assignment]  # install() puts Member in InstanceState's place

    def __init__(self, *args: Moto, **options: Moto) -> None:
        self.activities: deque[Activity] = deque(maxlen=100)
        self.deleting = False
        self.launch_again_at = 0.0
        super().__init__(*args, **options)

    @property
    def status(self) -> str | None:
        """As DescribeAutoScalingGroups says it: none but while the group is deleted."""
        return "Delete in progress" if self.deleting else None

    @property
    def capacity(self) -> int:
        """The desired capacity."""
        return self.desired_capacity or 0

    def set_desired_capacity(self, new_capacity: int | None) -> None:
        """Only the number: who keeps it is the backend."""
        self.desired_capacity = self.min_size if new_capacity is None else new_capacity

    def check_bounds(self, minimum: int, maximum: int, desired: int | None) -> None:
        """Refuse sizes that contradict each other.

        Raises:
            AutoscalingClientError: as AWS words it.
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

        Raises:
            AutoscalingClientError: as AWS words it.
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

        Raises:
            AutoscalingClientError: as AWS words it.
        """
        refused = "You cannot delete an AutoScalingGroup while there are"
        if self.counted():
            message = f"{refused} instances or pending Spot instance request(s) still in the group."
            raise AutoscalingClientError("ResourceInUse", message)
        if self.instance_states:
            message = f"{refused} scaling activities in progress for that group."
            raise AutoscalingClientError("ScalingActivityInProgress", message)

    def update(self, *args: Moto, **options: Moto) -> None:
        """Change what is named. What it launches stays, unless that is named; moto would forget it."""
        size = {name: options.get(name) for name in ("min_size", "max_size", "desired_capacity")}
        minimum = self.min_size if size["min_size"] is None else size["min_size"]
        maximum = self.max_size if size["max_size"] is None else size["max_size"]
        self.check_bounds(minimum or 0, maximum or 0, size["desired_capacity"])
        if size["desired_capacity"] is None:
            options["desired_capacity"] = min(max(self.capacity, minimum or 0), maximum or 0)
        policy = self.mixed_instances_policy
        super().update(*args, **options)
        if not any(
            options.get(name) for name in ("mixed_instances_policy", "launch_template", "launch_config_name")
        ):
            self.mixed_instances_policy = policy

    def suspended(self, process: str) -> bool:
        """Whether one of the group's processes rests."""
        return any(each["ProcessName"] == process for each in self.suspended_processes)

    def counted(self) -> list[Member]:
        """The members that are part of the capacity."""
        return [member for member in self.instance_states if member.counted]

    def victims(self, count: int) -> list[Member]:
        """Whom to end: never a protected one, first in the zone with most, then of the oldest template
        version, then the longest running. AWS's default policy chooses likewise.
        """
        left, chosen = [member for member in self.counted() if not member.at_risk], list[Member]()
        for _ in range(count):
            candidates = [member for member in left if not member.protected_from_scale_in]
            if not candidates:
                break
            zones = Counter(member.availability_zone for member in left)
            most = max(zones[member.availability_zone] for member in candidates)
            crowded = (member for member in candidates if zones[member.availability_zone] == most)
            victim = min(crowded, key=lambda member: (member.version, member.instance.launch_time))
            left.remove(victim)
            chosen.append(victim)
        return chosen

    def launch(self) -> Member:
        """Launch one instance, in the subnet (or zone) that has fewest, as the group's template says.

        Raises:
            ServiceException: EC2 refused.
        """
        subnets = self.vpc_zone_identifier.split(",") if self.vpc_zone_identifier else []
        peers = self.counted()
        lives = Counter(
            member.instance.subnet_id if subnets else member.availability_zone for member in peers
        )
        place = min(subnets or self.availability_zones, key=lambda each: lives[each])
        options: dict[str, Any] = {"subnet_id": place} if subnets else {"placement": place}
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
        """The first type of a mixed-instances policy: here each has capacity and none is cheaper."""
        policy = self.mixed_instances_policy or {}
        overrides = policy.get("LaunchTemplate", {}).get("Overrides") or [{}]
        return str(overrides[0].get("InstanceType") or self.instance_type)

    def _next_is_spot(self, peers: list[Member]) -> bool:
        """Whether the next instance keeps to the policy's share of Spot instances."""
        if not self.mixed_instances_policy:
            return False
        distribution = self.mixed_instances_policy.get("InstancesDistribution", {})
        base = int(distribution.get("OnDemandBaseCapacity") or 0)
        percent = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100))
        size = len(peers) + 1
        wanted = min(base, size) + math.ceil(max(0, size - base) * percent / 100)
        return wanted <= sum(1 for member in peers if member.instance.lifecycle != "spot")
