"""Build the stand-in packages; `dpkg-deb` does the packing (Debian's package `dpkg`)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

VERSION = "0~standin"
_EPOCH = "1767225600"
"""Seconds since 1970 (1 January 2026) written into the packages, so that one content is one checksum."""

_UNIT = """\
[Unit]
Description={package} (stand-in: it does nothing)
After=network-online.target

[Service]
Type=simple
ExecStart=/usr/bin/sleep infinity
Restart=always
RestartSec=90

[Install]
WantedBy=multi-user.target
"""

_CONTROL = """\
Package: {package}
Version: {version}
Architecture: all
Maintainer: The Airkiln authors
Section: admin
Priority: optional
Description: Stand-in for {package}
 It has the agent's name and unit, and does nothing. Made for rehearsals and tests, where Amazon's
 package cannot be had.
"""


@dataclass(frozen=True)
class StandIn:
    """One package that was built: its name, the file and the SHA-256 of the file in hexadecimal."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class _Agent:
    """What differs between the agents: where Amazon's package puts its unit, and an executable it has."""

    name: str
    unit_directory: str
    executable: str


_AGENTS = (
    _Agent("amazon-ssm-agent", "usr/lib/systemd/system", "usr/bin/amazon-ssm-agent"),
    _Agent(
        "amazon-cloudwatch-agent",
        "etc/systemd/system",
        "opt/aws/amazon-cloudwatch-agent/bin/start-amazon-cloudwatch-agent",
    ),
)


class StandInError(Exception):
    """A stand-in could not be built; the message says which and what to do."""


def build(directory: Path) -> list[StandIn]:
    """Build every stand-in below `directory`, which is made when it is not there.

    Raises StandInError when `dpkg-deb` is missing or fails.
    """
    if shutil.which("dpkg-deb") is None:
        raise StandInError(
            "dpkg-deb is not on the PATH, so no stand-in can be built: install the package dpkg."
        )
    directory.mkdir(parents=True, exist_ok=True)
    return [_build_one(agent, directory) for agent in _AGENTS]


def _build_one(agent: _Agent, directory: Path) -> StandIn:
    package = directory / f"{agent.name}.deb"
    with tempfile.TemporaryDirectory(dir=directory) as name:
        root = Path(name)
        _write(root / "DEBIAN/control", _CONTROL.format(package=agent.name, version=VERSION), 0o644)
        _write(root / agent.unit_directory / f"{agent.name}.service", _UNIT.format(package=agent.name), 0o644)
        _write(root / agent.executable, "#!/bin/sh\nexec sleep infinity\n", 0o755)
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        finished = subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(package)],
            env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH},
            check=False,
            capture_output=True,
            text=True,
        )
    if finished.returncode != 0:
        raise StandInError(
            f"dpkg-deb could not build the stand-in for {agent.name}: {finished.stderr.strip()}"
        )
    return StandIn(agent.name, package, hashlib.sha256(package.read_bytes()).hexdigest())


def _write(path: Path, content: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
