"""Emulates Auto Scaling's objects: groups, their instances, and open lifecycle actions.

``rehearsal.aws.services.autoscaling.backend`` lists what is left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import (
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
        self.surplus = 0
        """Instances above the desired capacity that an instance refresh has for the time being."""
        self.loads: deque[float] = deque(maxlen=60)
        """The last values of the metric that its target tracking policies follow, one for each minute."""
        self.rebalancing: tuple[str, str] | None = None
        """The instance that AZRebalance has launched, and the zone where another ends for it."""
        self.rebalance_again_at = 0.0
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
    def warmup(self) -> float:
        """Seconds until a new instance is warm: DefaultInstanceWarmup, or else HealthCheckGracePeriod."""
        own = self.default_instance_warmup
        return float(own if own is not None else self.health_check_grace_period or 0)

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
