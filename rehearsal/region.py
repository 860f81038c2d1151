"""Names, addresses and places of one rehearsal: the plan of the house that the other modules build.

Several rehearsals can stand side by side (the tests use one of their own): ``AIRKILN_REHEARSAL`` names
it, and every namespace, control group and folder carries that name. Addresses are the same in each,
because each has a network namespace of its own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

NETWORK = IPv4Network("10.42.0.0/16")
GATEWAY = IPv4Address("10.42.0.1")
"""The bridge's own address: every machine's default route."""
ENDPOINT = IPv4Address("10.42.0.2")
"""Where the AWS APIs are served inside the region."""
ENDPOINT_PORT = 4566
POSTGRES = IPv4Address("10.42.0.10")
METADATA = IPv4Address("169.254.169.254")
UPLINK = IPv4Network("10.41.0.0/24")
"""slirp4netns' own network; only ever used inside the region's namespace."""
DNS = IPv4Address("10.41.0.3")
"""slirp4netns answers DNS here with the resolver of the host."""
PORT_VARIABLE = "AIRKILN_PORT"
"""Names the port of the UI on 127.0.0.1, as in ``make rehearse AIRKILN_PORT=8081``."""
MTU = 9001
"""Bytes, as in a VPC; the same on the bridge, on each machine and on the way out, so nothing fragments."""
ACCOUNT = "123456789012"
DEBIAN_OWNER = "136693071363"
"""The account that publishes the official Debian images (https://wiki.debian.org/Cloud/AmazonEC2Image)."""


class RehearsalError(Exception):
    """Something the rehearsal could not do; the text says what, to what, and what to do next."""


@dataclass(frozen=True)
class Region:
    """One rehearsal's names and folders."""

    name: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]{0,12}", self.name):
            raise RehearsalError(
                f"{self.name!r} cannot name a rehearsal: use at most 12 small letters and digits "
                "in AIRKILN_REHEARSAL."
            )

    @property
    def namespace(self) -> str:
        """Name of the region's network namespace, as ``ip netns list`` shows it."""
        return f"airkiln-{self.name}" if self.name else "airkiln"

    def machine_namespace(self, machine: str) -> str:
        """Name of the network namespace of one machine."""
        return f"ak.{self.name}-{machine}" if self.name else f"ak-{machine}"

    @property
    def home(self) -> Path:
        """Folder of everything that belongs to this rehearsal alone."""
        return REPOSITORY / "build" / (f"rehearsal-{self.name}" if self.name else "rehearsal")

    @property
    def cache(self) -> Path:
        """Folder of what is built once and shared by all rehearsals of this checkout: roots from packages."""
        return REPOSITORY / "build" / "rehearsal"

    @property
    def machines(self) -> Path:
        """Folder with one folder a machine."""
        return self.home / "machines"

    @property
    def images(self) -> Path:
        """Folder of the layers that CreateImage made, and their catalogue."""
        return self.home / "images"

    @property
    def run(self) -> Path:
        """Folder of process records and sockets; emptied by ``down``."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Folder of log files; kept after ``down``."""
        return self.home / "logs"

    def prepare(self) -> None:
        """Make the folders; the ones that hold keys or disks are closed to other users."""
        for folder in (self.home, self.machines, self.images, self.run, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)


def current() -> Region:
    """The rehearsal that ``AIRKILN_REHEARSAL`` names, or the usual one."""
    return Region(os.environ.get("AIRKILN_REHEARSAL", ""))


def aws_region() -> str:
    """Name of the AWS region that is played: ``AWS_DEFAULT_REGION``, or us-east-1."""
    return os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def endpoint_url() -> str:
    """URL of the AWS APIs inside the region."""
    return f"http://{ENDPOINT}:{ENDPOINT_PORT}"
