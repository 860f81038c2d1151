"""The parts of `benchmarks.autoscale` that depend on no machine."""

from __future__ import annotations

from airkiln.simulation.peers import PEERS
from benchmarks import autoscale, document
from benchmarks.results import is_ours


def test_every_policy_has_every_figure_of_the_week_and_the_same_tasks() -> None:
    figures = autoscale.simulated_week(5000)
    subjects = {"airkiln", *PEERS}
    names = {each.figure for each in figures}
    assert names == {"week_wait", "week_wait_p95", "week_workers", "week_changes", "week_flaps"}
    assert {(each.figure, each.subject) for each in figures} == {
        (name, subject) for name in names for subject in subjects
    }
    assert len({each.n for each in figures if each.figure == "week_wait"}) == 1
    assert [each.subject for each in figures if is_ours(each.subject)] == ["airkiln"] * len(names)
    assert all(each.source == autoscale.SIMULATED for each in figures)
    (ours,) = (each for each in figures if (each.figure, each.subject) == ("week_flaps", "airkiln"))
    assert ours.max == 0


def test_the_document_tells_what_is_measured() -> None:
    assert "a million task" in document.description("autoscale")
