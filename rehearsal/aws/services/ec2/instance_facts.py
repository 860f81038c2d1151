"""Collects what the metadata service serves about an instance from moto's records."""

from __future__ import annotations

import base64

from moto.ec2.models import EC2Backend

from rehearsal.aws.services.ec2.images import EC2_ARCHITECTURE
from rehearsal.aws.services.ec2.metadata import InstanceFacts
from rehearsal.aws.services.ec2.models import EmulatedInstance
from rehearsal.linux.rootfs import architecture


def instance_facts(ec2: EC2Backend, instance: EmulatedInstance) -> InstanceFacts:
    """Return the facts of one instance as they are now."""
    nic = instance.nics[0]
    options = instance.metadata_options
    association = ec2.iam_instance_profile_associations.get(instance.id)
    profile = association.iam_instance_profile if association else None
    key = ec2.key_pairs.get(instance.key_name or "")
    tags_enabled = options.instance_metadata_tags == "enabled"
    reservation = next(each.id for each in ec2.reservations.values() if instance in each.instances)
    return InstanceFacts(
        instance_id=instance.id,
        image_id=instance.image_id,
        instance_type=instance.instance_type,
        private_ip=str(instance.private_ip),
        private_dns=instance.private_dns_name,
        mac=nic.mac_address,
        region=ec2.region_name,
        zone=instance.placement.zone or f"{ec2.region_name}a",
        launched=instance.launch_time,
        interface_id=nic.id,
        subnet_id=nic.subnet.id,
        vpc_id=nic.subnet.vpc_id,
        subnet_cidr=str(nic.subnet.cidr_block),
        vpc_cidr=str(ec2.get_vpc(nic.subnet.vpc_id).cidr_block),
        architecture=instance.architecture or EC2_ARCHITECTURE[architecture()],
        security_groups=tuple(group.name for group in instance.security_groups),
        reservation_id=reservation,
        key_name=instance.key_name,
        public_key=key.public_key.strip() if key else None,
        role=profile.roles[0].name if profile and profile.roles else None,
        profile_arn=profile.arn if profile else "",
        profile_id=profile.id if profile else "",
        user_data=base64.b64decode(instance.user_data.as_bytes()) if instance.user_data else None,
        tags={tag["key"]: tag["value"] for tag in instance.get_tags()} if tags_enabled else None,
        enabled=options.http_endpoint == "enabled",
        life_cycle=instance.lifecycle or "on-demand",
        target_lifecycle_state=instance.target_lifecycle_state,
        spot_end=instance.spot_end,
        rebalance_at=instance.rebalance_at,
    )
