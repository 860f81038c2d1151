"""Where a group launches its next instance, of which kind, and which instances it terminates first.

Sources: the EC2 Auto Scaling user guide, "Benefits of Amazon EC2 Auto Scaling" (instances are balanced over
the zones, a launch that fails in one is tried in another, and AZRebalance launches before it terminates,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html) and "Configure termination
policies" (https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html).

Left out: allocation strategies (the first type of a mixed instances policy is launched), weights, the rule
of the next billing hour, termination policies by launch configuration and by Lambda function (refused).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from moto.autoscaling.models import ASG_NAME_TAG
from moto.core.exceptions import ServiceException

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.configuration import Configuration
from rehearsal.aws.services.autoscaling.models import EmulatedGroup, Member
from rehearsal.aws.services.patching import Moto

ELSEWHERE = ("InsufficientInstanceCapacity", "Unsupported")
"""EC2's refusals after which a launch is tried in another zone."""


def select_for_termination(group: EmulatedGroup, count: int) -> list[Member]:
    """Select members for scale-in by the group's termination policies.

    Protected ones are never selected. Those in the zone with most members come first, whatever the policies.
    Of those that the policies leave, the one that was launched first comes first.
    """
    left, chosen = [member for member in group.counted() if not member.at_risk], list[Member]()
    for _ in range(count):
        candidates = [member for member in left if not member.protected_from_scale_in]
        if not candidates:
            break
        zones = Counter(member.availability_zone for member in left)
        most = max(zones[member.availability_zone] for member in candidates)
        candidates = [member for member in candidates if zones[member.availability_zone] == most]
        for policy in group.termination_policies:
            for rule in RULES[policy]:
                candidates = rule(group, left, candidates)
        first = min(candidates, key=lambda member: member.instance.launch_time)
        left.remove(first)
        chosen.append(first)
    return chosen


def _by_share(group: EmulatedGroup, left: list[Member], candidates: list[Member]) -> list[Member]:
    """Keep those of the kind, Spot or On-Demand, of which a mixed instances policy has too many."""
    if not group.mixed_instances_policy:
        return candidates
    on_demand = sum(not _is_spot(member) for member in left)
    spot_first = on_demand <= _on_demand_wanted(group.mixed_instances_policy, len(left) - 1)
    return [member for member in candidates if _is_spot(member) == spot_first] or candidates


def _by_version(_: EmulatedGroup, __: list[Member], candidates: list[Member]) -> list[Member]:
    oldest = min(member.version for member in candidates)
    return [member for member in candidates if member.version == oldest]


def _oldest(_: EmulatedGroup, __: list[Member], candidates: list[Member]) -> list[Member]:
    launched = min(member.instance.launch_time for member in candidates)
    return [member for member in candidates if member.instance.launch_time == launched]


def _newest(_: EmulatedGroup, __: list[Member], candidates: list[Member]) -> list[Member]:
    launched = max(member.instance.launch_time for member in candidates)
    return [member for member in candidates if member.instance.launch_time == launched]


Rule: TypeAlias = Callable[[EmulatedGroup, list[Member], list[Member]], list[Member]]
RULES: dict[str, tuple[Rule, ...]] = {
    "Default": (_by_share, _by_version),
    "AllocationStrategy": (_by_share,),
    "OldestLaunchTemplate": (_by_version,),
    "OldestInstance": (_oldest,),
    "NewestInstance": (_newest,),
    "ClosestToNextInstanceHour": (),
}
"""What each termination policy keeps of the candidates."""


def imbalance(group: EmulatedGroup) -> tuple[str, str] | None:
    """Return a zone with too many of the group's members, and the one with fewest; None if it is balanced.

    A zone that the group does not have any more has too many.
    """
    used = Counter(str(member.availability_zone) for member in group.counted())
    fewest = min(group.availability_zones, key=lambda zone: used[zone])
    outside = [zone for zone in used if zone not in group.availability_zones]
    most = outside[0] if outside else max(group.availability_zones, key=lambda zone: used[zone])
    return (str(most), str(fewest)) if outside or used[most] - used[fewest] > 1 else None


def select_in_zone(group: EmulatedGroup, zone: str) -> Member | None:
    """Select a member in service that may end so that the group is balanced."""
    there = [
        member
        for member in group.counted()
        if member.availability_zone == zone
        and member.lifecycle_state == lifecycle.IN_SERVICE
        and not member.protected_from_scale_in
    ]
    return min(there, key=lambda member: (member.version, member.instance.launch_time), default=None)


def launch(group: EmulatedGroup, configuration: Configuration | None, zone: str | None = None) -> Member:
    """Launch one instance where there are fewest, or where EC2 has capacity.

    :param configuration: what to launch; None for the group's launch configuration.
    :param zone: the only zone to try, if any.
    :raises ServiceException: EC2 refused, in every zone if it has no capacity.
    """
    refused: ServiceException | None = None
    for location in locations(group, zone):
        try:
            return _launch_in(group, location, configuration)
        except ServiceException as error:
            if getattr(error, "code", None) not in ELSEWHERE:
                raise
            refused = error
    if refused is None:
        raise RuntimeError(f"{group.name} has neither subnets nor zones.")
    raise refused


def locations(group: EmulatedGroup, only: str | None = None) -> list[dict[str, str]]:
    """Return the group's subnets, or its zones, those first that take the next instance.

    :param only: the zone in which they have to be, if any.
    """
    members = group.counted()
    zones = Counter(member.availability_zone for member in members)
    if not group.vpc_zone_identifier:
        ordered = sorted(group.availability_zones, key=lambda zone: zones[zone])
        return [{"placement": zone} for zone in ordered if only in (None, zone)]
    names = group.vpc_zone_identifier.split(",")
    found = group.ec2_backend.describe_subnets(subnet_ids=names)
    zone_of = {subnet.id: subnet.availability_zone for subnet in found}
    subnets = Counter(member.instance.subnet_id for member in members)
    ordered = sorted(names, key=lambda subnet: (zones[zone_of[subnet]], subnets[subnet]))
    return [{"subnet_id": subnet} for subnet in ordered if only in (None, zone_of[subnet])]


def _launch_in(group: EmulatedGroup, location: dict[str, str], configuration: Configuration | None) -> Member:
    options: dict[str, Any] = dict(location)
    template: dict[str, str] | None = None
    if configuration is not None:
        version = configuration.template.get_version(configuration.version)
        template = {
            "LaunchTemplateId": configuration.template.id,
            "LaunchTemplateName": configuration.template.name,
            "Version": str(version.number),
        }
        options |= {
            "launch_template": {"LaunchTemplateId": template["LaunchTemplateId"]}
            | {"Version": template["Version"]},
            "instance_initiated_shutdown_behavior": version.data.get("InstanceInitiatedShutdownBehavior"),
            "instance_market_options": version.data.get("InstanceMarketOptions"),
        }
        source, instance_type = version, configuration.types[0]
        if _next_is_spot(configuration.policy, group.counted()):
            options["instance_market_options"] = {"MarketType": "spot"}
    else:
        source, instance_type = group.launch_config, group.launch_config.instance_type
        options |= {
            "launch_config": source,
            "iam_instance_profile_name": source.iam_instance_profile,
            "key_name": source.key_name,
        }
    reservation = group.ec2_backend.run_instances(
        source.image_id,
        1,
        source.user_data,
        source.security_groups,
        instance_type=instance_type,
        is_instance_type_default=False,
        region_name=group.region,
        tags={"instance": group.get_propagated_tags() | {ASG_NAME_TAG: group.name}},
        **options,
    )
    instance: Moto = reservation.instances[0]
    instance.autoscaling_group = group
    protected = group.new_instances_protected_from_scale_in
    member = Member(instance, lifecycle.PENDING, protected_from_scale_in=protected)
    member.template = template
    group.instance_states.append(member)
    return member


def _next_is_spot(policy: dict[str, Any] | None, peers: list[Member]) -> bool:
    """Return whether the next instance has to be a Spot instance by the policy's distribution."""
    if not policy:
        return False
    return _on_demand_wanted(policy, len(peers) + 1) <= sum(not _is_spot(member) for member in peers)


def _on_demand_wanted(policy: dict[str, Any], size: int) -> int:
    """Return how many of ``size`` instances a policy wants to be On-Demand Instances."""
    distribution = policy.get("InstancesDistribution", {})
    base = int(distribution.get("OnDemandBaseCapacity") or 0)
    percent = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100))
    return min(base, size) + math.ceil(max(0, size - base) * percent / 100)


def _is_spot(member: Member) -> bool:
    return bool(member.instance.lifecycle == "spot")
