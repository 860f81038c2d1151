"""Where a group launches its next instance, of which kind, and which instances it terminates first.

Sources: the EC2 Auto Scaling user guide, "Add Availability Zones" (instances are balanced over the zones; a
launch that fails in one is tried in another,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html) and "Configure termination
policies" (https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html).

Left out: allocation strategies (the first type of a mixed instances policy is launched), weights, termination
policies but the default.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from moto.autoscaling.models import ASG_NAME_TAG
from moto.core.exceptions import ServiceException

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.configuration import Configuration
from rehearsal.aws.services.autoscaling.models import EmulatedGroup, Member
from rehearsal.aws.services.patching import Moto

ELSEWHERE = ("InsufficientInstanceCapacity", "Unsupported")
"""EC2's refusals after which a launch is tried in another zone."""


def select_for_termination(group: EmulatedGroup, count: int) -> list[Member]:
    """Select members for scale-in as AWS's default termination policy does.

    Protected ones are never selected. First come members in the zone with most members, then those of the
    oldest launch template version, then those launched first.
    """
    left, chosen = [member for member in group.counted() if not member.at_risk], list[Member]()
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


def launch(group: EmulatedGroup, configuration: Configuration | None) -> Member:
    """Launch one instance where there are fewest, or where EC2 has capacity.

    :param configuration: what to launch; None for the group's launch configuration.
    :raises ServiceException: EC2 refused, in every zone if it has no capacity.
    """
    refused: ServiceException | None = None
    for location in locations(group):
        try:
            return _launch_in(group, location, configuration)
        except ServiceException as error:
            if getattr(error, "code", None) not in ELSEWHERE:
                raise
            refused = error
    if refused is None:
        raise RuntimeError(f"{group.name} has neither subnets nor zones.")
    raise refused


def locations(group: EmulatedGroup) -> list[dict[str, str]]:
    """Return the group's subnets, or its zones, those first that take the next instance."""
    members = group.counted()
    zones = Counter(member.availability_zone for member in members)
    if not group.vpc_zone_identifier:
        return [
            {"placement": zone} for zone in sorted(group.availability_zones, key=lambda each: zones[each])
        ]
    found = group.ec2_backend.describe_subnets(subnet_ids=group.vpc_zone_identifier.split(","))
    zone_of = {subnet.id: subnet.availability_zone for subnet in found}
    subnets = Counter(member.instance.subnet_id for member in members)
    ordered = sorted(
        group.vpc_zone_identifier.split(","), key=lambda each: (zones[zone_of[each]], subnets[each])
    )
    return [{"subnet_id": subnet} for subnet in ordered]


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
    distribution = policy.get("InstancesDistribution", {})
    base = int(distribution.get("OnDemandBaseCapacity") or 0)
    percent = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100))
    size = len(peers) + 1
    wanted = min(base, size) + math.ceil(max(0, size - base) * percent / 100)
    return wanted <= sum(1 for member in peers if member.instance.lifecycle != "spot")
