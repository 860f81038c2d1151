"""Replaces moto's EC2 with the emulated one."""

from __future__ import annotations

from moto.ec2.models import amis, ec2_backends, instances

from rehearsal.aws.services.ec2.backend import EmulatedEC2, backend
from rehearsal.aws.services.ec2.hypervisor import Hypervisor
from rehearsal.aws.services.ec2.images import Catalogue, debian_image
from rehearsal.aws.services.ec2.models import EmulatedImage, EmulatedInstance
from rehearsal.aws.services.ec2.security_groups import Firewall
from rehearsal.aws.services.patching import Moto, Substitutions
from rehearsal.linux.network import Network
from rehearsal.region import Region

_substitutions = Substitutions()


def install(region: Region, hypervisor: Moto = None, firewall: Firewall | None = None) -> None:
    """Serve every later request with the emulated EC2; install the patches of moto before.

    :param hypervisor: runs the machines; by default those of this host. Unit tests pass a double.
    :param firewall: enforces security groups; by default between the machines of this host, and nowhere if
        the hypervisor is a double.
    """
    replace = _substitutions.attribute
    replace(amis, "Ami", EmulatedImage)
    replace(instances, "Instance", EmulatedInstance)
    replace(EmulatedEC2, "region", region)
    replace(EmulatedEC2, "catalogue", Catalogue(region))
    enforces = (lambda _: None) if hypervisor else Network(region).apply
    replace(EmulatedEC2, "firewall", firewall or Firewall(enforces))
    machines = hypervisor or Hypervisor(region, lambda instance_id: backend().machine_ended(instance_id))
    replace(EmulatedEC2, "hypervisor", machines)
    replace(ec2_backends, "backend", EmulatedEC2)


def uninstall() -> None:
    """Restore moto's EC2. Backends that exist are kept: drop them with ``ec2_backends.clear()``."""
    _substitutions.restore()


def publish_images() -> None:
    """Offer the root filesystem as Debian's image, and the images that earlier daemons made."""
    ec2 = backend()
    ec2.catalogue.set_debian(debian_image(ec2.region))
    for image in ec2.catalogue.all():
        ec2.publish(image)
