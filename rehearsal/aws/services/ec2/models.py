"""Emulates EC2's images and instances: moto's records, with a machine behind each instance.

The state of an instance follows its machine: ``pending`` until nspawn runs, ``stopping`` until it has ended.
``rehearsal.aws.services.ec2.backend`` lists what is left out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance, InstanceState, StateReason

from rehearsal.aws.services.ec2.hypervisor import Hypervisor
from rehearsal.aws.services.ec2.images import EC2_ARCHITECTURE
from rehearsal.aws.services.patching import Moto
from rehearsal.linux.machine import Specification
from rehearsal.linux.rootfs import architecture

STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
"""Code of each instance state (EC2 API reference, InstanceState)."""


class HasHypervisor(Protocol):
    """The part of the backend that an instance uses."""

    hypervisor: Hypervisor

    def enforce(self) -> None:
        """Put the present security groups into force."""


class EmulatedImage(Ami):
    """An AMI with the properties of Debian's: HVM, an EBS root volume at /dev/xvda, IMDSv2 required."""

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
        """The root volume, made from the snapshot that moto recorded."""
        volume = {
            "SnapshotId": self.ebs_snapshot.id,
            "VolumeSize": 8,
            "DeleteOnTermination": True,
            "VolumeType": "gp3",
            "Encrypted": self.encrypted,
        }
        return [{"DeviceName": self.root_device_name, "Ebs": volume}]

    def encrypt(self) -> None:
        """Mark the image and its snapshot as encrypted."""
        self.encrypted = self.ebs_snapshot.encrypted = True


class EmulatedInstance(Instance):
    """An instance with a machine behind it."""

    ec2_backend: Moto
    target_lifecycle_state: str | None = None
    """Set by Auto Scaling, served as metadata; None outside a group."""
    spot_end: datetime | None = None
    """When EC2 reclaims it; None without a Spot notice."""
    rebalance_at: datetime | None = None
    """When EC2 recommended to replace it; None without a recommendation."""

    @property
    def host(self) -> Hypervisor:
        """The hypervisor that runs the machine."""
        return self._backend.hypervisor

    @property
    def _backend(self) -> HasHypervisor:
        backend: HasHypervisor = self.ec2_backend
        return backend

    def set_state(self, name: str) -> None:
        """Set one of EC2's instance states."""
        self._state = InstanceState(name, STATES[name])

    def start(self) -> InstanceState:
        """Boot a stopped instance from the same disk and with the same address."""
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

    def machine_ended(self) -> None:
        """Record that the machine powered itself off or was killed, and do what its launch asked for."""
        self.state_reason.code = "Client.InstanceInitiatedShutdown"
        self.state_reason.message = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
        if self.instance_initiated_shutdown_behavior == "terminate":
            self.terminate()
        else:
            self.set_state("stopped")

    def reclaim(self) -> None:
        """Take a Spot instance away: cut the machine's power and terminate the instance."""
        if self.state in ("terminated", "shutting-down"):
            return
        super().terminate()
        code = "Server.SpotInstanceTermination"
        self.state_reason = StateReason(f"{code}: Spot instance termination", code)
        self.set_state("shutting-down")
        self.host.submit(self.id, self._cut_power)

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

    def _cut_power(self) -> None:
        self.host.cut_power(self.id)
        self._remove()

    def _remove(self) -> None:
        self.host.remove(self.id)
        self.set_state("terminated")
        self._backend.enforce()

    def _reboot(self) -> None:
        if self.state == "running":
            self.host.stop(self.id)
            self.host.start(self.id)
