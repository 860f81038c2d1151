"""`python -m rehearsal scenario`: what it lists, and what it refuses."""

from __future__ import annotations

import pytest

from rehearsal import cli
from rehearsal.chaos.scenario import SEED_VARIABLE, seed_from_environment
from rehearsal.chaos.scenarios.registry import SCENARIOS, find
from rehearsal.commands import scenario
from rehearsal.errors import RehearsalError


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
