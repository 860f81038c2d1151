"""Who logs in to the database as the epoch's role, and who may go on as Airflow does by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airkiln_airflow import fenced
from tests.unit.airkiln_airflow.airflow_package import make_airflow


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps({"environment": "test", "role": "scheduler"}))
    return path


GATED = {fenced.GATE: "/run/airkiln-failover/gate"}


class TestGate:
    """Whether this host has one."""

    def test_a_scheduler_host_with_the_drop_in_has_one(self, instance: Path) -> None:
        assert fenced.gate_of(GATED, instance) == Path(GATED[fenced.GATE])

    def test_without_the_drop_in_there_is_none_whatever_the_role(self, instance: Path) -> None:
        instance.unlink()
        assert fenced.gate_of({}, instance) is None
        assert fenced.gate_of({fenced.GATE: ""}, instance) is None

    def test_a_host_that_runs_everything_alone_has_none(self, instance: Path) -> None:
        instance.write_text('{"role": "all"}')
        assert fenced.gate_of(GATED, instance) is None

    @pytest.mark.parametrize("said", ["", "{", "[]", "{}", '"all"'])
    def test_a_host_that_does_not_know_its_role_is_refused(self, instance: Path, said: str) -> None:
        instance.write_text(said)
        with pytest.raises(fenced.RefusedError, match="airkiln-boot"):
            fenced.gate_of(GATED, instance)

    def test_a_host_that_was_told_nothing_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(fenced.RefusedError, match="FileNotFoundError"):
            fenced.gate_of(GATED, tmp_path / "gone.json")


class TestFence:
    """The environment of a process that leads."""

    def test_no_way_to_the_database_but_the_services_entry_is_left(self) -> None:
        owner = "postgresql+psycopg://airflow:owner@host/airflow"
        environment = {
            name + form: owner
            for name in fenced.SETTINGS
            for form in ("", "_CMD", "_SECRET")
            if name != "PGSERVICEFILE"
        }
        fenced.fence(environment)
        assert environment == dict(fenced.SETTINGS)
        assert "owner" not in str(environment)

    def test_what_is_no_way_to_the_database_stays(self) -> None:
        environment = {"AIRFLOW__CORE__FERNET_KEY": "kept"}
        fenced.fence(environment)
        assert environment["AIRFLOW__CORE__FERNET_KEY"] == "kept"


SHOW = """
import os, sys
def main():
    print(
        " ".join(sys.argv[1:]) + ":",
        os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
        os.environ.get("PGAPPNAME", ""),
    )
"""


class TestCommand:
    """What a unit runs; `airflow` is a package that shows what it was given."""

    @pytest.fixture
    def run(self, tmp_path: Path, instance: Path) -> object:
        make_airflow(tmp_path, SHOW)
        code = (
            "import sys, pathlib; from airkiln_airflow import fenced;"
            f"fenced.gate_of.__defaults__ = (pathlib.Path({str(instance)!r}),);"
            f"sys.path.insert(0, {str(tmp_path)!r}); sys.exit(fenced.main())"
        )

        def run(*arguments: str, gated: bool) -> subprocess.CompletedProcess[str]:
            environment = {**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "owner's"}
            environment |= GATED if gated else {}
            command = [sys.executable, "-c", code, *arguments]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

        return run

    def test_a_leader_becomes_the_component_under_the_fence(self, run: object) -> None:
        assert callable(run)
        assert run("dag-processor", gated=True).stdout == (
            "dag-processor: postgresql+psycopg://?service=airkiln_scheduler airflow-dag-processor\n"
        )

    def test_elsewhere_it_is_the_component_with_its_own_connection(self, run: object) -> None:
        assert callable(run)
        assert run("dag-processor", "-v", gated=False).stdout == "dag-processor -v: owner's \n"

    def test_a_command_for_hosts_without_a_gate_runs_there_only(self, run: object) -> None:
        assert callable(run)
        assert run("--unless-gated", "/bin/echo", "waited", gated=False).stdout == "waited\n"
        assert run("--unless-gated", "/bin/echo", "waited", gated=True).stdout == ""

    def test_a_host_that_does_not_know_its_role_runs_nothing(self, run: object, instance: Path) -> None:
        assert callable(run)
        instance.unlink()
        refused = run("dag-processor", gated=True)
        assert refused.returncode == 78
        assert refused.stdout == ""
        assert refused.stderr.startswith("refused: ")
        skipped = run("--unless-gated", "/bin/echo", "waited", gated=True)
        assert (skipped.returncode, skipped.stdout) == (0, "")
