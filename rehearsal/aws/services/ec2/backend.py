"""Plays EC2: moto's API and bookkeeping, with machines behind the instances and layers behind the images.

RunInstances answers ``pending`` at once and boots a machine; Stop, Start, Reboot, Terminate, CreateImage,
CopyImage and DeregisterImage act on machines and layers; a machine that powers itself off becomes ``stopped``
or ``terminated``, as its launch said. Instances get private addresses only. Anything else is moto's.

Left out: volumes as devices (a volume is a record), encryption (a flag), public addresses, the enforcement of
security groups, capacity and service limits, console output.
"""

from __future__ import annotations

import base64
import logging
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from flask import has_request_context, request
from moto.core.types import Base64EncodedString
from moto.ec2 import urls
from moto.ec2.exceptions import InvalidAMIIdError
from moto.ec2.models import EC2Backend, amis, ec2_backends, instances
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance, Reservation
from moto.ec2.models.subnets import Subnet
from moto.ec2.models.vpcs import VPC
from moto.ec2.responses import EC2Response

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.aws.services.ec2.hypervisor import Hypervisor
from rehearsal.aws.services.ec2.images import EC2_ARCHITECTURE, Catalogue, Image, debian_image
from rehearsal.aws.services.ec2.metadata import InstanceFacts
from rehearsal.aws.services.ec2.models import ImageCalls, Moto, RehearsedAmi, RehearsedInstance
from rehearsal.linux.addresses import NETWORK
from rehearsal.linux.machine import Specification
from rehearsal.linux.rootfs import architecture
from rehearsal.region import Region

log = logging.getLogger(__name__)
RESERVED = IPv4Network("10.42.0.0/24")
"""Addresses of the region's own services; no instance gets one."""


class RehearsedEC2(EC2Backend):
    """EC2 of one region of AWS, with the one region of the rehearsal behind it."""

    region: Region
    catalogue: Catalogue
    hypervisor: Hypervisor

    @property
    def _url_module(self) -> Moto:
        """moto finds a service's URLs by the name of the backend's module, which is not ours."""
        return urls

    def create_vpc(self, cidr_block: str, *args: Moto, **options: Moto) -> VPC:
        """The default VPC is the rehearsal's network."""
        if options.get("is_default"):
            cidr_block = str(NETWORK)
        return super().create_vpc(cidr_block, *args, **options)

    def create_subnet(self, *args: Moto, **options: Moto) -> Subnet:
        """Subnets give private addresses only, and none that the region's own services have."""
        subnet = super().create_subnet(*args, **options)
        subnet.map_public_ip_on_launch = False
        if subnet.cidr.overlaps(RESERVED):
            subnet._subnet_ips.update(dict.fromkeys(map(str, RESERVED)))  # type: ignore[arg-type]  # no instance
        return subnet

    def run_instances(
        self,
        image_id: str,
        count: int,
        user_data: Base64EncodedString | None,
        security_group_names: list[str],
        **options: Moto,
    ) -> Reservation:
        """Record the instances as moto does, then boot their machines."""
        template: dict[str, Any] = {}
        if options.get("launch_template"):
            template = self._get_template_from_args(options["launch_template"]).data
        image = self.catalogue.get(image_id or template.get("ImageId", ""))
        if image is None:
            raise InvalidAMIIdError([image_id])
        if not options.get("metadata_options"):
            options["metadata_options"] = template.get("MetadataOptions") or {}
        options["metadata_options"].setdefault("HttpTokens", "required")
        if not options.get("subnet_id") and not any("SubnetId" in nic for nic in options.get("nics") or []):
            zone = options.get("placement") or f"{self.region_name}a"
            options["subnet_id"] = self.get_default_subnets()[zone].id
        reservation = super().run_instances(image_id, count, user_data, security_group_names, **options)
        for instance in reservation.instances:
            if not isinstance(instance, RehearsedInstance):
                raise TypeError(f"{instance.id} has no machine: install() has not been called")
            profile = template.get("IamInstanceProfile")
            if profile and not options.get("iam_instance_profile_name"):
                self.associate_iam_instance_profile(instance.id, profile.get("Name"), profile.get("Arn"))
            for nic in instance.nics.values():
                nic.public_ip = None
            instance.launch(
                Specification(
                    name=instance.id,
                    address=str(instance.private_ip),
                    hostname=instance.private_dns_name.partition(".")[0],
                    layers=image.layers,
                    mac=instance.nics[0].mac_address,
                )
            )
        return reservation

    def create_image(
        self, instance_id: str, name: str, description: str, tag_specifications: list[dict[str, Any]]
    ) -> Ami:
        """Snapshot the disk; a running instance is powered off for it, unless NoReboot was asked for."""
        of_image = [tags for tags in tag_specifications if tags["ResourceType"] == "image"]
        ami = super().create_image(instance_id, name, description, of_image)
        for specification in tag_specifications:
            if specification["ResourceType"] == "snapshot":
                ami.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in specification["Tags"]})
        source = self.get_instance(instance_id)
        if isinstance(ami, RehearsedAmi) and any(volume.encrypted for _, volume in _volumes(source)):
            ami.encrypt()
        ami.state = "pending"
        keep_running = _requested("NoReboot")
        self.hypervisor.submit(instance_id, lambda: self._snapshot(instance_id, ami, keep_running))
        return ami

    def copy_image(
        self,
        source_image_id: str,
        source_region: str,
        name: str | None = None,
        description: str | None = None,
    ) -> Ami:
        """A second image of the same layers, encrypted if that was asked for."""
        source = self.catalogue.get(source_image_id)
        if source is None:
            raise InvalidAMIIdError([source_image_id])
        ami = super().copy_image(source_image_id, source_region, name, description)
        if isinstance(ami, RehearsedAmi) and (source.encrypted or _requested("Encrypted")):
            ami.encrypt()
        self._remember(ami, source.layers)
        return ami

    def deregister_image(self, ami_id: str) -> None:
        """Forget an image and delete the layers that only it had."""
        super().deregister_image(ami_id)
        self.catalogue.remove(ami_id)

    def create_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:
        """Tags of images are remembered with them."""
        done = super().create_tags(resource_ids, tags)
        for resource in resource_ids:
            self.catalogue.tag(resource, dict(self.tags[resource]))
        return done

    def publish(self, image: Image) -> None:
        """Offer an image of the catalogue under its own id."""
        ami = RehearsedAmi(
            self,
            image.id,
            name=image.name,
            description=image.description,
            owner_id=image.owner,
            public=image.owner != ACCOUNT,
            image_location=f"{image.owner}/{image.name}",
            region_name=f"{self.region_name}a",
        )
        ami.creation_date = ami.creation_date.fromisoformat(image.created).replace(tzinfo=None)
        if image.encrypted:
            ami.encrypt()
        self.amis[image.id] = ami
        if image.tags:
            super().create_tags([image.id], image.tags)

    def facts(self, address: str) -> InstanceFacts | None:
        """What the metadata service tells the instance that has this address."""
        for instance in self.all_instances():
            if instance.private_ip == address and instance.state not in ("terminated", "stopped"):
                return self._facts(instance)
        return None

    def ended(self, instance_id: str) -> None:
        """A machine ended without EC2's doing."""
        self.rehearsed(instance_id).ended_by_itself()

    def rehearsed(self, instance_id: str) -> RehearsedInstance:
        """An instance, with its machine."""
        instance = self.get_instance(instance_id)
        if not isinstance(instance, RehearsedInstance):
            raise TypeError(f"{instance_id} has no machine: install() has not been called")
        return instance

    def _facts(self, instance: Instance) -> InstanceFacts:
        nic = instance.nics[0]
        options = instance.metadata_options
        association = self.iam_instance_profile_associations.get(instance.id)
        profile = association.iam_instance_profile if association else None
        key = self.key_pairs.get(instance.key_name or "")
        wants_tags = options.instance_metadata_tags == "enabled"
        reservation = next(each.id for each in self.reservations.values() if instance in each.instances)
        return InstanceFacts(
            instance_id=instance.id,
            image_id=instance.image_id,
            instance_type=instance.instance_type,
            private_ip=str(instance.private_ip),
            private_dns=instance.private_dns_name,
            mac=nic.mac_address,
            region=self.region_name,
            zone=instance.placement.zone or f"{self.region_name}a",
            launched=instance.launch_time,
            interface_id=nic.id,
            subnet_id=nic.subnet.id,
            vpc_id=nic.subnet.vpc_id,
            subnet_cidr=str(nic.subnet.cidr_block),
            vpc_cidr=str(self.get_vpc(nic.subnet.vpc_id).cidr_block),
            architecture=instance.architecture or EC2_ARCHITECTURE[architecture()],
            security_groups=tuple(group.name for group in instance.security_groups),
            reservation_id=reservation,
            key_name=instance.key_name,
            public_key=key.public_key.strip() if key else None,
            role=profile.roles[0].name if profile and profile.roles else None,
            profile_arn=profile.arn if profile else "",
            profile_id=profile.id if profile else "",
            user_data=base64.b64decode(instance.user_data.as_bytes()) if instance.user_data else None,
            tags={tag["key"]: tag["value"] for tag in instance.get_tags()} if wants_tags else None,
            enabled=options.http_endpoint == "enabled",
            life_cycle=instance.lifecycle or "on-demand",
            target_lifecycle_state=getattr(instance, "target_lifecycle_state", None),
            spot_end=getattr(instance, "spot_end", None),
            rebalance_at=getattr(instance, "rebalance_at", None),
        )

    def _snapshot(self, instance_id: str, ami: Ami, keep_running: bool) -> None:
        try:
            running = self.hypervisor.running(instance_id)
            if running and not keep_running:
                self.hypervisor.stop(instance_id)
            layers = self.hypervisor.machine(instance_id).snapshot(self.catalogue.layer_folder(ami.id))
            if running and not keep_running:
                self.hypervisor.start(instance_id)
            self._remember(ami, [str(layer) for layer in layers])
            ami.state = "available"
        except Exception:
            ami.state = "failed"
            raise

    def _remember(self, ami: Ami, layers: list[str]) -> None:
        image = Image(id=ami.id, name=ami.name or ami.id, layers=layers, description=ami.description or "")
        tags = {tag["key"]: tag["value"] for tag in ami.get_tags()}
        self.catalogue.add(replace(image, tags=tags, encrypted=bool(getattr(ami, "encrypted", False))))


def install(region: Region) -> RehearsedEC2:
    """Put the rehearsed EC2 in the place of moto's, for every later request, and publish the known images."""
    vars(amis)["Ami"] = RehearsedAmi
    vars(instances)["Instance"] = RehearsedInstance
    EC2Response.__bases__ = (ImageCalls, *EC2Response.__bases__)
    RehearsedEC2.region = region
    RehearsedEC2.catalogue = Catalogue(region)
    RehearsedEC2.hypervisor = Hypervisor(region, lambda instance_id: backend().ended(instance_id))
    ec2_backends.backend = RehearsedEC2
    RehearsedEC2.catalogue.set_debian(debian_image(region))
    ec2 = backend()
    for image in ec2.catalogue.all():
        ec2.publish(image)
    return ec2


def backend() -> RehearsedEC2:
    """The EC2 of the account and region that are played."""
    found = ec2_backends[ACCOUNT][aws_region()]
    if not isinstance(found, RehearsedEC2):
        raise TypeError("moto's own EC2 was used before install()")
    return found


def _volumes(instance: Instance) -> list[tuple[str, Any]]:
    devices: list[tuple[str, Any]] = []
    for name, device in instance.get_block_device_mapping:
        devices.append((name, instance.ec2_backend.get_volume(device.volume_id)))
    return devices


def _requested(parameter: str) -> bool:
    """A flag of the request that moto does not pass on to its backend."""
    return has_request_context() and request.values.get(parameter, "").lower() == "true"
