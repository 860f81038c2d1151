"""`python -m rehearsal scenario`: what it lists, and what it refuses."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from rehearsal import cli
from rehearsal.aws import session
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.scenario import SEED_VARIABLE, Outcome, Scenario, seed_from_environment
from rehearsal.chaos.scenarios.registry import SCENARIOS, find
from rehearsal.commands import scenario
from rehearsal.deployment.cluster import Cluster
from rehearsal.errors import RehearsalError
from rehearsal.linux.network import Network
from rehearsal.region import Region


def test_every_scenario_is_listed_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["scenario", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for each in SCENARIOS.values():
        (line,) = (line for line in lines if line.split()[:1] == [each.name] and line.startswith("  "))
        assert line.endswith(each.description)


def test_an_unknown_name_is_refused_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["scenario", "run", "earthquake"]) == 1
    assert "scenario list" in capsys.readouterr().err


def test_the_cluster_has_what_the_scenario_needs() -> None:
    assert scenario.layout_for(find("switchover")).controllers
    assert scenario.layout_for(find("switchover")).workers == 1
    assert not scenario.layout_for(find("scheduler_sigkill_adoption")).controllers
    assert scenario.layout_for(find("scale_out_and_in")).workers == 0


def test_a_seed_is_a_whole_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SEED_VARIABLE, raising=False)
    assert seed_from_environment() is None
    monkeypatch.setenv(SEED_VARIABLE, "17")
    assert seed_from_environment() == 17
    monkeypatch.setenv(SEED_VARIABLE, "x")
    with pytest.raises(RehearsalError, match=SEED_VARIABLE):
        seed_from_environment()


class TestARun:
    """On a cluster that runs already, and is only imagined."""

    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Outcome], tuple[int, list[str]]]:
        cluster = SimpleNamespace(controllers=True, postgres=None)
        log = SimpleNamespace(new=list)
        self.instances: list[dict[str, Any]] = []
        self.cluster: SimpleNamespace | None = cluster
        monkeypatch.setenv(SEED_VARIABLE, "7")
        monkeypatch.setattr(session, "aws_running", lambda _: True)
        monkeypatch.setattr(session, "start", lambda _: None)
        monkeypatch.setattr(Network, "visit", lambda _: nullcontext())
        monkeypatch.setattr(Cluster, "find", lambda _: self.cluster)
        monkeypatch.setattr(scenario, "StatementLog", lambda _: log)
        monkeypatch.setattr(scenario, "present", lambda: self.instances)

        def run(outcome: Outcome) -> tuple[int, list[str]]:
            def body(_: Bench) -> Outcome:
                return outcome

            monkeypatch.setattr(scenario, "find", lambda _: Scenario("trial", "A trial.", body))
            out = io.StringIO()
            status = scenario.run(Region("unit"), "trial", out)
            return status, out.getvalue().splitlines()

        return run

    def test_the_figure_is_printed(self, run: Callable[[Outcome], tuple[int, list[str]]]) -> None:
        status, lines = run(Outcome(0.0, [], 0.81, {"adopted": [301.5]}, 3))
        assert status == 0
        assert lines[-1] == "0.81 s; adopted 301.50 s; 3 tasks"

    def test_a_problem_is_a_failure_that_says_how_to_repeat_it(
        self, run: Callable[[Outcome], tuple[int, list[str]]]
    ) -> None:
        status, lines = run(Outcome(0.0, ["run step[0]: failed"]))
        assert status == 1
        assert lines[-2:] == [
            "run step[0]: failed",
            "To repeat it: AIRKILN_SEED=7 python -m rehearsal scenario run trial",
        ]

    def test_another_environment_is_not_replaced(
        self, run: Callable[[Outcome], tuple[int, list[str]]]
    ) -> None:
        self.cluster, self.instances = None, [{"InstanceId": "i-1"}]
        with pytest.raises(RehearsalError, match="AIRKILN_REHEARSAL=chaos"):
            run(Outcome(0.0, []))
