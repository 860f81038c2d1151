"""Emulates EC2: moto's API and records, with machines behind instances and layers behind images.

RunInstances answers ``pending`` at once and boots a machine. StopInstances, StartInstances, RebootInstances,
TerminateInstances, CreateImage, CopyImage and DeregisterImage act on machines and layers. An instance whose
machine powers itself off becomes ``stopped`` or ``terminated`` (InstanceInitiatedShutdownBehavior). Instances
get private addresses only. Security groups are enforced (``security_groups``). Everything else is moto's.
Source: the EC2 API reference.

Left out: volumes as devices (a volume is a record), encryption (a flag), public addresses, capacity and
service limits, console output.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import has_request_context, request
from moto.core.types import Base64EncodedString
from moto.ec2 import urls
from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance, Reservation
from moto.ec2.models.subnets import Subnet
from moto.ec2.models.vpcs import VPC

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.aws.services.ec2.hypervisor import Hypervisor
from rehearsal.aws.services.ec2.images import Catalogue, Image
from rehearsal.aws.services.ec2.instance_facts import instance_facts
from rehearsal.aws.services.ec2.metadata import InstanceFacts
from rehearsal.aws.services.ec2.models import EmulatedImage, EmulatedInstance
from rehearsal.aws.services.ec2.security_groups import EnforcedSecurityGroups
from rehearsal.aws.services.patching import Moto
from rehearsal.linux.addresses import NETWORK, RESERVED
from rehearsal.linux.machine import Attachments, Specification
from rehearsal.region import Region

log = logging.getLogger(__name__)
METADATA_KEY = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}")
"""Keys of tags in instance metadata: docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html."""


def _check_keys(template: Mapping[str, Any], tags: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a launch with tags in metadata whose keys metadata cannot hold, as EC2 does."""
    keys = set(tags.get("instance", {}))
    for specification in template.get("TagSpecifications") or template.get("TagSpecification") or []:
        if specification.get("ResourceType") == "instance":
            keys |= {tag["Key"] for tag in specification.get("Tags") or specification.get("Tag") or []}
    for key in keys:
        if not METADATA_KEY.fullmatch(key) or key in (".", "..", "_index"):
            raise EC2ClientError(
                "InvalidParameterValue",
                f"'{key}' is not a valid tag key. Tag keys must match pattern "
                "([0-9a-zA-Z\\-_+=,.@:]{1,255}), and must not be a reserved name ('.', '..', '_index')",
            )


class EmulatedEC2(EnforcedSecurityGroups):
    """EC2 in one AWS region, backed by one rehearsal."""

    region: Region
    shown: Callable[[Sequence[str]], Attachments] = staticmethod(lambda _: Attachments())
    """What other services show a machine, by the layers of its image."""
    catalogue: Catalogue
    hypervisor: Hypervisor

    @property
    def _url_module(self) -> Moto:
        """moto looks for a service's URLs beside the backend's module, which is not true of this one."""
        return urls

    def create_vpc(self, cidr_block: str, *args: Moto, **options: Moto) -> VPC:
        """Create a VPC; the default VPC covers the rehearsal's network."""
        if options.get("is_default"):
            cidr_block = str(NETWORK)
        return super().create_vpc(cidr_block, *args, **options)

    def create_subnet(self, *args: Moto, **options: Moto) -> Subnet:
        """Create a subnet that gives private addresses only, and none of the rehearsal's own services."""
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
        if options["metadata_options"].get("InstanceMetadataTags") == "enabled":
            _check_keys(template, options.get("tags") or {})
        if not options.get("subnet_id") and not any("SubnetId" in nic for nic in options.get("nics") or []):
            zone = options.get("placement") or f"{self.region_name}a"
            options["subnet_id"] = self.get_default_subnets()[zone].id
        reservation = super().run_instances(image_id, count, user_data, security_group_names, **options)
        for instance in reservation.instances:
            if not isinstance(instance, EmulatedInstance):
                raise TypeError(f"{instance.id} has no machine: call install() before the first request.")
            profile = template.get("IamInstanceProfile")
            if profile and not options.get("iam_instance_profile_name"):
                self.associate_iam_instance_profile(instance.id, profile.get("Name"), profile.get("Arn"))
            for nic in instance.nics.values():
                nic.public_ip = None
            instance.security_groups = list(instance.nics[0].group_set)
            self.enforce()
            machine_uuid = str(uuid.uuid4())
            attached = self.shown(image.layers)
            instance.launch(
                Specification(
                    name=instance.id,
                    address=str(instance.private_ip),
                    hostname=instance.private_dns_name.partition(".")[0],
                    layers=image.layers,
                    mac=instance.nics[0].mac_address,
                    uuid=machine_uuid,
                    files={"/sys/hypervisor/uuid": f"ec2{machine_uuid[3:]}\n"} | attached.files,
                    folders=attached.folders,
                )
            )
        return reservation

    def create_image(
        self, instance_id: str, name: str, description: str, tag_specifications: list[dict[str, Any]]
    ) -> Ami:
        """Snapshot the disk. A running instance is powered off for that, except with NoReboot."""
        ami = super().create_image(instance_id, name, description, tag_specifications)
        source = self.get_instance(instance_id)
        if isinstance(ami, EmulatedImage) and any(volume.encrypted for _, volume in _volumes(source)):
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
        """Make a second image of the same layers, encrypted if the request says so."""
        source = self.catalogue.get(source_image_id)
        if source is None:
            raise InvalidAMIIdError([source_image_id])
        ami = super().copy_image(source_image_id, source_region, name, description)
        if isinstance(ami, EmulatedImage) and (source.encrypted or _requested("Encrypted")):
            ami.encrypt()
        self._remember(ami, source.layers)
        return ami

    def deregister_image(self, ami_id: str) -> None:
        """Remove an image, and the layers that no other image or machine uses."""
        super().deregister_image(ami_id)
        self.catalogue.remove(ami_id)

    def create_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:
        """Tag resources; tags of images are also kept in the catalogue."""
        done = super().create_tags(resource_ids, tags)
        for resource in resource_ids:
            self.catalogue.tag(resource, dict(self.tags[resource]))
        return done

    def publish(self, image: Image) -> None:
        """Offer an image of the catalogue under its own id."""
        ami = EmulatedImage(
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
        """Return what the metadata service serves to the instance with this address, or None."""
        for instance in self.all_instances():
            if instance.private_ip == address and instance.state not in ("terminated", "stopped"):
                return instance_facts(self, self.emulated(instance.id))
        return None

    def machine_ended(self, instance_id: str) -> None:
        """Record that a machine ended without EC2 having asked for it."""
        self.emulated(instance_id).machine_ended()

    def emulated(self, instance_id: str) -> EmulatedInstance:
        """Return the instance with this id."""
        instance = self.get_instance(instance_id)
        if not isinstance(instance, EmulatedInstance):
            raise TypeError(f"{instance_id} has no machine: call install() before the first request.")
        return instance

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


def backend() -> EmulatedEC2:
    """Return the EC2 of the emulated account and region."""
    found = ec2_backends[ACCOUNT][aws_region()]
    if not isinstance(found, EmulatedEC2):
        raise TypeError("moto served EC2 before install(): call install() before the first request.")
    return found


def _volumes(instance: Instance) -> list[tuple[str, Any]]:
    devices: list[tuple[str, Any]] = []
    for name, device in instance.get_block_device_mapping:
        devices.append((name, instance.ec2_backend.get_volume(device.volume_id)))
    return devices


def _requested(parameter: str) -> bool:
    """Return a flag of the request that moto does not pass on to its backend."""
    return has_request_context() and request.values.get(parameter, "").lower() == "true"
