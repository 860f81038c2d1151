"""How far the units of ours are confined, as systemd reads their files; tests/image asks the image itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.rendering import ROLES, render

UNITS = "templates/etc/systemd/system"
SHARED = "airkiln-.service.d/10-sandbox.conf"
AIRFLOWS = "airflow-.service.d/10-sandbox.conf"
DATABASE = "airkiln-database.service"
LIMIT = 2.0
"""As in tests/image/test_units.py."""
LOOSENED = {
    "airkiln-boot.service": {
        "CapabilityBoundingSet_CAP_CHOWN_FSETID_SETFCAP",
        "SystemCallFilter_privileged",
    },
    "airkiln-efs-tunnel.service": {"SystemCallFilter_resources"},
    "airkiln-failover.service": {"CapabilityBoundingSet_CAP_KILL", "ProtectControlGroups", "ProtectProc"},
    "airkiln-early-journal.service": {"ProtectProc"},
    "airkiln-file-integrity.service": {"CapabilityBoundingSet_CAP_DAC_FOWNER_IPC_OWNER", "ProtectHome"},
    "airkiln-lifecycle.service": {"UMask"},
    "airkiln-metadata-guard.service": {
        "CapabilityBoundingSet_CAP_NET_ADMIN",
        "RestrictAddressFamilies_AF_NETLINK",
    },
}
"""What a unit may do that the shared sandbox forbids, by the names of `systemd-analyze security`."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine"
)


def services() -> list[str]:
    """The services of ours that have Airkiln's sandbox."""
    found = sorted(path.stem for path in ROLES.glob(f"*/{UNITS}/airkiln-*.service.j2"))
    return [unit for unit in found if unit != DATABASE]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system with the units and drop-ins of all roles, whose names begin with airkiln-."""
    folder = tmp_path_factory.mktemp("root")
    target = folder / "etc/systemd/system"
    for path in (
        *ROLES.glob(f"*/{UNITS}/airkiln-*.service.j2"),
        *ROLES.glob(f"*/{UNITS}/airkiln-*.service.d/*.j2"),
    ):
        role = path.relative_to(ROLES).parts[0]
        name = str(path.relative_to(ROLES / role / UNITS)).removesuffix(".j2")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        # A oneshot unit may have it from systemd 253 on, which the image has and the host may not.
        text = render(role, name).replace("RestartForceExitStatus=75\n", "")
        (target / name).write_text(text, encoding="utf-8")
    own = target / f"{DATABASE}.d/10-sandbox.conf"
    own.parent.mkdir(exist_ok=True)
    own.write_text(render("airflow", AIRFLOWS), encoding="utf-8")
    return folder


def findings(root: Path, unit: str) -> tuple[float, set[str]]:
    """The exposure of a unit, and the names of what adds to it."""
    options = ["--no-pager", "--offline=yes", f"--root={root}"]
    scored = subprocess.run(
        ["systemd-analyze", "security", *options, unit], capture_output=True, text=True, check=True
    ).stdout
    listed = subprocess.run(
        ["systemd-analyze", "security", *options, "--json=short", unit],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    table: list[dict[str, Any]] = json.loads(listed)
    score = float(scored.partition("Overall exposure level for")[2].partition(":")[2].split()[0])
    return score, {str(row["json_field"]) for row in table if row["set"] is False}


def test_the_services_are_those_that_the_image_has() -> None:
    assert services() == [
        "airkiln-autoscale.service",
        "airkiln-boot.service",
        "airkiln-credentials.service",
        "airkiln-early-journal.service",
        "airkiln-efs-tunnel.service",
        "airkiln-failover.service",
        "airkiln-file-integrity.service",
        "airkiln-lifecycle.service",
        "airkiln-metadata-guard.service",
        "airkiln-retention.service",
        "airkiln-signal.service",
    ]


@pytest.mark.parametrize("unit", services())
def test_a_unit_is_confined_as_far_as_the_image_has_to_show(root: Path, unit: str) -> None:
    assert findings(root, unit)[0] <= LIMIT


@pytest.mark.parametrize("unit", services())
def test_a_unit_is_loosened_only_where_it_says_why(root: Path, unit: str) -> None:
    strict = findings(root, "airkiln-signal.service")[1]
    assert findings(root, unit)[1] - strict == LOOSENED.get(unit, set())


@pytest.mark.parametrize("unit", services())
def test_a_unit_states_nothing_that_the_shared_sandbox_states(unit: str) -> None:
    shared = {line.partition("=")[0] for line in render("boot", SHARED).splitlines() if "=" in line}
    (path,) = ROLES.glob(f"*/{UNITS}/{unit}.j2")
    text = render(path.relative_to(ROLES).parts[0], unit)
    assert [line for line in text.splitlines() if line.partition("=")[0] in shared] == []


def test_the_database_step_has_airflows_sandbox_and_not_ours(root: Path) -> None:
    assert "User=airflow" in render("airflow", AIRFLOWS).splitlines()
    # Airflow's sandbox leaves /proc as it is; Airkiln's hides it.
    assert "ProtectProc" in findings(root, DATABASE)[1]
