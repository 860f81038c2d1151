"""The Molecule scenarios: check mode, converge, again, verify, each on a machine of the rehearsal.

Both run at once, in one region. Each has its own instance and its own folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rehearsal.aws import session
from rehearsal.region import REPOSITORY, Region

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800)]

TOOLS = Path(sys.executable).parent
SCENARIOS = {
    "image": "the image playbook bakes a host, survives check mode and changes nothing twice",
    "site": "a bare host becomes an all-in-one that runs a DAG",
}
TAIL = 120
"""Lines of Molecule's output that a failure shows."""
ENDS_WITHIN = 60
"""Seconds for an interrupted scenario to end."""


@dataclass
class Scenario:
    """`molecule test` of one scenario, inside the region."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, region: Region, name: str, folder: Path) -> Scenario:
        """Start it. What it prints goes to `folder`/log, and Molecule's own files to `folder`/run."""
        own = folder / "run"
        own.mkdir()
        command = [str(TOOLS / "molecule"), "test", "--scenario-name", name]
        variables = {
            "PATH": f"{TOOLS}:{os.environ['PATH']}",
            "AIRKILN_REHEARSAL": region.name,
            "MOLECULE_EPHEMERAL_DIRECTORY": str(own),
            "NO_COLOR": "1",
        }
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                session.region_command(region, command),
                cwd=REPOSITORY,
                env=session.environment(region) | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        return cls(process, log)

    def end(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def scenarios(
    request: pytest.FixtureRequest, region: Region, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Scenario]]:
    """Those that are to be tested, all started at once."""
    asked = [
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and "scenarios" in item.fixturenames
    ]
    begun = {
        name: Scenario.start(region, name, tmp_path_factory.mktemp(f"molecule-{name}"))
        for name in SCENARIOS
        if name in asked
    }
    yield begun
    for scenario in begun.values():
        scenario.end()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_succeeds(scenarios: dict[str, Scenario], name: str) -> None:
    scenario = scenarios[name]
    status = scenario.process.wait()
    said = scenario.log.read_text(encoding="utf-8", errors="replace").splitlines()
    assert status == 0, f"It is not so that {SCENARIOS[name]}:\n" + "\n".join(said[-TAIL:])
