"""Who logs in to the database as the epoch's role, and who may go on as Airflow does by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airkiln_airflow import fenced


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


class TestCommand:
    """What a unit runs before its own command."""

    @pytest.fixture
    def run(self, instance: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
        code = (
            "import sys, pathlib; from airkiln_airflow import fenced;"
            f"fenced.gate_of.__defaults__ = (pathlib.Path({str(instance)!r}),); sys.exit(fenced.main())"
        )

        def run(*arguments: str, gated: bool) -> subprocess.CompletedProcess[str]:
            environment = os.environ | (GATED if gated else {})
            command = [sys.executable, "-c", code, *arguments]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

        return run

    def test_a_command_for_hosts_without_a_gate_runs_there_only(
        self, run: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        assert run("--unless-gated", "/bin/echo", "waited", gated=False).stdout == "waited\n"
        assert run("--unless-gated", "/bin/echo", "waited", gated=True).stdout == ""

    def test_on_a_host_that_does_not_know_its_role_it_is_left_to_what_comes_next(
        self, run: Callable[..., subprocess.CompletedProcess[str]], instance: Path
    ) -> None:
        instance.unlink()
        skipped = run("--unless-gated", "/bin/echo", "waited", gated=True)
        assert (skipped.returncode, skipped.stdout) == (0, "")

    def test_other_arguments_are_refused(self, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        refused = run("dag-processor", gated=False)
        assert (refused.returncode, refused.stdout) == (64, "")
        assert refused.stderr.startswith("usage: ")
