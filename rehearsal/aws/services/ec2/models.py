"""Plays EC2's objects: moto's images and instances, with a machine behind each instance.

An instance's state follows its machine: ``pending`` until it is started, ``stopping`` until it is off.
Left out: see ``rehearsal.aws.services.ec2.backend``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol, TypeAlias

from moto.core.responses import ActionResult
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance, InstanceState, StateReason
from moto.ec2.responses.amis import AmisResponse

from rehearsal.aws.services.ec2.hypervisor import Hypervisor
from rehearsal.aws.services.ec2.images import EC2_ARCHITECTURE
from rehearsal.linux.machine import Specification
from rehearsal.linux.rootfs import architecture

Moto: TypeAlias = Any
"""What moto passes to itself; its types are moto's business."""
STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class HasHypervisor(Protocol):
    """What an instance needs of its backend."""

    hypervisor: Hypervisor


class RehearsedAmi(Ami):
    """An image as Debian's are: HVM, EBS root at /dev/xvda, IMDSv2."""

    def __init__(self, *args: Moto, **options: Moto) -> None:
        self.encrypted = False
        self.imds_support = "v2.0"
        self.deprecation_time: Moto = None
        self.ena_support = True
        super().__init__(*args, **options)
        self.architecture = EC2_ARCHITECTURE[architecture()]
        self.virtualization_type = "hvm"
        self.hypervisor = "xen"
        self.root_device_type = "ebs"
        self.root_device_name = "/dev/xvda"

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """One volume, whose snapshot moto made."""
        volume = {
            "SnapshotId": self.ebs_snapshot.id,
            "VolumeSize": 8,
            "DeleteOnTermination": True,
            "VolumeType": "gp3",
            "Encrypted": self.encrypted,
        }
        return [{"DeviceName": self.root_device_name, "Ebs": volume}]

    def encrypt(self) -> None:
        """Mark image and snapshot as encrypted."""
        self.encrypted = self.ebs_snapshot.encrypted = True


class RehearsedInstance(Instance):
    """An instance with a machine behind it."""

    ec2_backend: Moto
    target_lifecycle_state: str | None = None
    """What a group has in mind for it; None outside a group."""
    spot_end: datetime | None = None
    """When EC2 takes it away, once it has said so."""
    rebalance_at: datetime | None = None
    """When EC2 recommended to replace it."""

    @property
    def host(self) -> Hypervisor:
        """Where the machine is."""
        backend: HasHypervisor = self.ec2_backend
        return backend.hypervisor

    def set_state(self, name: str) -> None:
        """Put the instance into one of EC2's states."""
        self._state = InstanceState(name, STATES[name])

    def start(self) -> InstanceState:
        """Boot again, from the same disk and with the same address."""
        previous = super().start()
        if previous.name != "running":
            self.set_state("pending")
            self.host.submit(self.id, self._boot)
        return previous

    def stop(self) -> InstanceState:
        """Power off and keep the disk."""
        previous = super().stop()
        if previous.name != "stopped":
            self.set_state("stopping")
            self.host.submit(self.id, self._power_off)
        return previous

    def terminate(self) -> InstanceState:
        """Power off and delete the disk."""
        if self.state in ("terminated", "shutting-down"):
            return InstanceState(self.state, STATES[self.state])
        previous = super().terminate()
        self.set_state("shutting-down")
        self.host.submit(self.id, self._remove)
        return previous

    def reboot(self) -> None:
        """Power off and on."""
        self.host.submit(self.id, self._reboot)

    def launch(self, specification: Specification) -> None:
        """Make the machine and boot it."""
        self.set_state("pending")
        self.host.submit(self.id, lambda: self._create(specification))

    def ended_by_itself(self) -> None:
        """The machine powered itself off, or somebody killed it."""
        self.state_reason.code = "Client.InstanceInitiatedShutdown"
        self.state_reason.message = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
        if self.instance_initiated_shutdown_behavior == "terminate":
            self.terminate()
        else:
            self.set_state("stopped")

    def taken_away(self) -> None:
        """EC2 wants its capacity back: the machine goes as by a power cut."""
        if self.state in ("terminated", "shutting-down"):
            return
        super().terminate()
        code = "Server.SpotInstanceTermination"
        self.state_reason = StateReason(f"{code}: Spot instance termination", code)
        self.set_state("shutting-down")
        self.host.submit(self.id, self._cut)

    def _create(self, specification: Specification) -> None:
        try:
            self.host.create(specification)
            self._boot()
        except Exception:
            self.state_reason.code = "Server.InternalError"
            self.state_reason.message = "Server.InternalError: the machine did not start, see aws.log"
            self.set_state("terminated")
            raise

    def _boot(self) -> None:
        if self.state == "pending":
            self.host.start(self.id)
            self.set_state("running")

    def _power_off(self) -> None:
        self.host.stop(self.id)
        if self.state == "stopping":
            self.set_state("stopped")

    def _cut(self) -> None:
        self.host.cut(self.id)
        self._remove()

    def _remove(self) -> None:
        self.host.remove(self.id)
        self.set_state("terminated")

    def _reboot(self) -> None:
        if self.state == "running":
            self.host.stop(self.id)
            self.host.start(self.id)


class ImageCalls(AmisResponse):
    """Calls about images that Packer makes and moto lacks: what they say is remembered and shown, no more."""

    def modify_image_attribute(self) -> ActionResult:
        """moto knows launch permissions only; this adds the description."""
        description = self._get_param("Description", {}).get("Value")
        if description is None:
            return super().modify_image_attribute()
        self._image().description = description
        return ActionResult({"Return": True})

    def enable_image_deprecation(self) -> ActionResult:
        """Note from when on an image is deprecated."""
        self._image().deprecation_time = self._get_param("DeprecateAt")
        return ActionResult({"Return": True})

    def disable_image_deprecation(self) -> ActionResult:
        """Forget that date."""
        self._image().deprecation_time = None
        return ActionResult({"Return": True})

    def _image(self) -> Moto:
        return self.ec2_backend.describe_images(ami_ids=[self._get_param("ImageId")])[0]
