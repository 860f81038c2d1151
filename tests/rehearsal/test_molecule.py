"""The Molecule scenarios: check mode, converge, again, verify, each on a machine of the rehearsal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.aws import session
from rehearsal.region import REPOSITORY, Region

pytestmark = pytest.mark.root

TOOLS = Path(sys.executable).parent
TAIL = 120
"""Lines of Molecule's output that a failure shows."""


def run_scenario(region: Region, name: str) -> subprocess.CompletedProcess[str]:
    """`molecule test` inside the region; what it says on both streams is in `stdout`."""
    command = [str(TOOLS / "molecule"), "test", "--scenario-name", name]
    return subprocess.run(
        session.region_command(region, command),
        cwd=REPOSITORY,
        env=session.environment(region)
        | {"PATH": f"{TOOLS}:{os.environ['PATH']}", "AIRKILN_REHEARSAL": region.name, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-TAIL:])


@pytest.mark.timeout(1200)
def test_the_image_playbook_bakes_a_host_survives_check_mode_and_changes_nothing_twice(
    region: Region,
) -> None:
    finished = run_scenario(region, "image")
    assert finished.returncode == 0, last_lines(finished.stdout)


@pytest.mark.timeout(1200)
def test_a_bare_host_becomes_an_all_in_one_that_runs_a_dag(region: Region) -> None:
    finished = run_scenario(region, "site")
    assert finished.returncode == 0, last_lines(finished.stdout)
