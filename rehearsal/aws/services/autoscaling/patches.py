"""Corrections of moto's Auto Scaling."""

from __future__ import annotations

from moto.autoscaling.models import ASG_NAME_TAG, AutoScalingBackend, FakeAutoScalingGroup, LifecycleHook
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.elbv2.exceptions import TargetGroupNotFoundError

from rehearsal.aws.services.autoscaling.models import invalid, longest_wait
from rehearsal.aws.services.patching import Moto, Patch

HEARTBEAT_TIMEOUTS = range(30, 7201)
"""Seconds that PutLifecycleHook accepts as HeartbeatTimeout (its API reference)."""


def _create_auto_scaling_group(original: Moto) -> Moto:
    def create_auto_scaling_group(self: AutoScalingResponse) -> ActionResult:
        """Answer CreateAutoScalingGroup; create the group's lifecycle hooks too."""
        answer: ActionResult = original(self)
        for hook in self._get_param("LifecycleHookSpecificationList", []):
            self.autoscaling_backend.create_lifecycle_hook(
                hook["LifecycleHookName"],
                self._get_param("AutoScalingGroupName"),
                hook["LifecycleTransition"],
                hook.get("HeartbeatTimeout"),
                hook.get("DefaultResult"),
            )
        return answer

    return create_auto_scaling_group


def _put_scaling_policy(original: Moto) -> Moto:
    def put_scaling_policy(self: AutoScalingResponse) -> ActionResult:
        """Answer PutScalingPolicy."""
        answer: Moto = original(self).result
        return ActionResult({"PolicyARN": answer["PolicyArn"]})

    return put_scaling_policy


def _create_lifecycle_hook(original: Moto) -> Moto:
    def create_lifecycle_hook(
        self: AutoScalingBackend, name: str, as_name: str, transition: str, *rest: Moto, **options: Moto
    ) -> LifecycleHook:
        """Create or replace a hook; refuse a heartbeat time-out outside AWS's limits."""
        timeout = options["timeout"] if "timeout" in options else rest[0]
        if timeout is not None and timeout not in HEARTBEAT_TIMEOUTS:
            raise invalid("HeartbeatTimeout must be between 30 and 7200 seconds")
        hook: LifecycleHook = original(self, name, as_name, transition, *rest, **options)
        hook.global_timeout = int(longest_wait(hook.heartbeat_timeout))
        return hook

    return create_lifecycle_hook


def _update(original: Moto) -> Moto:
    def update(self: FakeAutoScalingGroup, *args: Moto, **options: Moto) -> None:
        """Change what the request names, and nothing else."""
        policy = self.mixed_instances_policy
        original(self, *args, **options)
        sources = ("mixed_instances_policy", "launch_template", "launch_config_name")
        if not any(options.get(source) for source in sources):
            self.mixed_instances_policy = policy

    return update


def _update_attached_target_groups(_: Moto) -> Moto:
    def update_attached_target_groups(self: AutoScalingBackend, group_name: str) -> None:
        """Register the instances in service that AddToLoadBalancer has added; deregister others."""
        group = self.autoscaling_groups[group_name]
        in_service = [each for each in group.instance_states if each.lifecycle_state == "InService"]
        serving = [each.instance.id for each in in_service]
        balanced = [each.instance.id for each in in_service if getattr(each, "balanced", True)]
        for arn in group.target_group_arns:
            try:
                (found,) = self.elbv2_backend.describe_target_groups(None, [arn], None)
            except TargetGroupNotFoundError:
                continue  # It was deleted before the group.
            new = [{"Id": each, "Port": found.port} for each in balanced if each not in found.targets]
            others = [each for each in found.targets if each not in serving]
            left = [{"Id": each} for each in others if _group_of(self, each) == group_name]
            self.elbv2_backend.register_targets(arn, new)
            self.elbv2_backend.deregister_targets(arn, left)

    return update_attached_target_groups


def _group_of(backend: AutoScalingBackend, instance_id: str) -> str | None:
    """Return the name of the Auto Scaling group that launched an instance; None for other targets."""
    instance = backend.ec2_backend.get_instance_by_id(instance_id)
    tags = instance.get_tags() if instance else []
    return next((tag["value"] for tag in tags if tag["key"] == ASG_NAME_TAG), None)


PATCHES = (
    Patch(
        AutoScalingResponse,
        "create_auto_scaling_group",
        _create_auto_scaling_group,
        upstream="moto/autoscaling/responses.py, AutoScalingResponse.create_auto_scaling_group",
        problem="moto ignores LifecycleHookSpecificationList; AWS creates these hooks with the group.",
    ),
    Patch(
        AutoScalingResponse,
        "put_scaling_policy",
        _put_scaling_policy,
        upstream="moto/autoscaling/responses.py, AutoScalingResponse.put_scaling_policy",
        problem="moto answers PolicyArn; the API's member is PolicyARN, so clients find nothing.",
    ),
    Patch(
        AutoScalingBackend,
        "create_lifecycle_hook",
        _create_lifecycle_hook,
        upstream="moto/autoscaling/models.py, AutoScalingBackend.create_lifecycle_hook and LifecycleHook",
        problem="moto accepts any HeartbeatTimeout, and GlobalTimeout is always 172800; AWS refuses values "
        "outside 30 to 7200, and GlobalTimeout is at most a hundred heartbeat time-outs.",
    ),
    Patch(
        FakeAutoScalingGroup,
        "update",
        _update,
        upstream="moto/autoscaling/models.py, FakeAutoScalingGroup.update (as of "
        "https://github.com/getmoto/moto/pull/9619)",
        problem="moto drops the MixedInstancesPolicy on an update that does not name one; AWS keeps it.",
    ),
    Patch(
        AutoScalingBackend,
        "update_attached_target_groups",
        _update_attached_target_groups,
        upstream="moto/autoscaling/models.py, AutoScalingBackend.update_attached_target_groups",
        problem="moto registers a group's instances as targets, and does not deregister those that left.",
    ),
)
