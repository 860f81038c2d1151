"""Builds the packages of the stub agents with `dpkg-deb` (Debian's package `dpkg`)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

VERSION = "0~stub"
_EPOCH = "1767225600"
"""Seconds since 1970 (1 January 2026). Every time stamp in a package: the same content has one checksum."""

_UNIT = """\
[Unit]
Description={package} (stub)
After=network-online.target

[Service]
Type=simple
ExecStart=/{executable}
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
Description: Stub of {package}
 It has the agent's package and unit name and does none of its work. For rehearsals and tests, where
 Amazon's package cannot be downloaded.
"""


@dataclass(frozen=True)
class StubAgent:
    """One package that was built."""

    name: str
    """The package's name."""
    path: Path
    """The file. Its name contains the checksum, so that its content never changes."""
    sha256: str
    """The file's SHA-256 in hexadecimal."""


@dataclass(frozen=True)
class _Agent:
    """What differs between the agents: where Amazon's package installs its unit, and one executable."""

    name: str
    unit_directory: str
    executable: str
    program: str
    """The text of the executable."""


_AGENTS = (
    _Agent(
        "amazon-ssm-agent",
        "usr/lib/systemd/system",
        "usr/bin/amazon-ssm-agent",
        "#!/bin/sh\nexec sleep infinity\n",
    ),
    _Agent(
        "amazon-cloudwatch-agent",
        "etc/systemd/system",
        "opt/aws/amazon-cloudwatch-agent/bin/start-amazon-cloudwatch-agent",
        Path(__file__).with_name("cloudwatch_agent.py").read_text(encoding="utf-8"),
    ),
)


class StubError(Exception):
    """A stub could not be built; the message says which and what to do."""


def build(directory: Path) -> list[StubAgent]:
    """Build every stub below a directory, which is made if necessary.

    Several processes may build in the same directory at once: a package is written beside its place and moved
    there.

    :raises StubError: ``dpkg-deb`` is missing or fails.
    """
    if shutil.which("dpkg-deb") is None:
        raise StubError("dpkg-deb is not on the PATH, so no stub can be built: install the package dpkg.")
    directory.mkdir(parents=True, exist_ok=True)
    return [_build_one(agent, directory) for agent in _AGENTS]


def _build_one(agent: _Agent, directory: Path) -> StubAgent:
    with tempfile.TemporaryDirectory(dir=directory) as name:
        root = Path(name) / "root"
        _write(root / "DEBIAN/control", _CONTROL.format(package=agent.name, version=VERSION), 0o644)
        unit = _UNIT.format(package=agent.name, executable=agent.executable)
        _write(root / agent.unit_directory / f"{agent.name}.service", unit, 0o644)
        _write(root / agent.executable, agent.program, 0o755)
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        built = Path(name) / "package.deb"
        finished = subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(built)],
            env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH},
            check=False,
            capture_output=True,
            text=True,
        )
        if finished.returncode != 0:
            raise StubError(f"dpkg-deb could not build the stub of {agent.name}: {finished.stderr.strip()}")
        checksum = hashlib.sha256(built.read_bytes()).hexdigest()
        package = directory / f"{agent.name}_{checksum[:12]}.deb"
        if not package.exists():
            built.rename(package)
    return StubAgent(agent.name, package, checksum)


def _write(path: Path, content: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
