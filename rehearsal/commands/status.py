"""``python -m rehearsal status``: what runs, and which images exist."""

from __future__ import annotations

from rehearsal.aws import session
from rehearsal.aws.services.ec2.images import Catalogue
from rehearsal.linux.machine import machines
from rehearsal.linux.network import Network
from rehearsal.region import Region

NOT_RUNNING = 3
"""The exit status of `systemctl status` for a unit that does not run."""


def status(region: Region) -> tuple[int, str]:
    """The exit status, 0 if the emulated AWS runs, and one line for each thing that exists."""
    network = Network(region)
    running = session.aws_running(region)
    lines = [
        f"network   {'up' if network.exists() else 'down'} ({region.namespace})",
        f"AWS       {'up' if running else 'down'}",
    ]
    lines += [f"port      127.0.0.1:{port} -> {target}" for port, target in network.forwards().items()]
    lines += [
        f"machine   {machine.name} {machine.address} {'running' if machine.running() else 'off'}"
        for machine in machines(region)
    ]
    if region.images.is_dir():
        lines += [f"image     {image.id} {image.name}" for image in Catalogue(region).all()]
    return 0 if running else NOT_RUNNING, "\n".join(lines)
