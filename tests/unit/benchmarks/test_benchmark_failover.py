"""The figures of the failover benchmark, from raw lines; and the predecessor's model."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import predecessor
from benchmarks.campaign import AIRKILN, PEER, Line, Lines
from benchmarks.failover import BUDGETS, default_scenarios, figures
from rehearsal.chaos.scenarios.registry import SCENARIOS


def line(fault: str, subject: str = AIRKILN, **values: object) -> Line:
    made = Line(subject, fault, "2026-11-21T06:00:00+00:00", "0123456789ab", "ami-1")
    for name, value in values.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made


def test_a_fault_has_a_row_for_each_subject_and_its_budget_is_ours_alone() -> None:
    rows = figures(
        [
            line("blocking_lock", seconds=9.0),
            line("blocking_lock", seconds=11.0),
            line("blocking_lock", PEER, seconds=60.0, adopted=300.0),
        ]
    )
    assert [
        (row.figure, row.subject, row.n, row.max, row.budget) for row in rows if "lock" in row.figure
    ] == [
        ("blocking_lock", AIRKILN, 2, 11.0, 15.0),
        ("blocking_lock", PEER, 1, 60.0, None),
        ("blocking_lock_adopted", PEER, 1, 300.0, None),
    ]


def test_what_must_not_be_is_counted_over_all_our_runs() -> None:
    rows = {
        row.figure: row
        for row in figures(
            [
                line("switchover", seconds=1.0),
                line("switchover", seconds=1.0, overlaps=["write by epoch 1"]),
                line("switchover", error="no task instance was queued"),
                line("switchover", PEER, seconds=1.0, problems=["lost"]),
            ]
        )
        if row.subject == AIRKILN
    }
    assert (rows["overlaps"].n, rows["overlaps"].max) == (3, 1)
    assert (rows["lost_or_twice"].n, rows["lost_or_twice"].max) == (3, 0)
    assert (rows["without_a_figure"].n, rows["without_a_figure"].max) == (3, 1)
    assert rows["switchover"].n == 2


def test_a_fault_after_which_the_peer_queued_nothing_has_a_row_that_says_so() -> None:
    (row,) = (
        row for row in figures([line("blocking_lock", PEER, error="none")]) if row.figure == "blocking_lock"
    )
    assert (row.n, row.p50) == (1, 60.0)
    assert "given up after 60 s" in row.source


def test_every_fence_of_every_run_counts() -> None:
    rows = figures([line("host_killed", seconds=5.0, fences=[0.02, 0.03]), line("switchover", fences=[0.07])])
    (fence,) = (row for row in rows if row.figure == "fence")
    assert (fence.n, fence.p50, fence.max, fence.budget) == (3, 0.03, 0.07, 0.25)


def test_lines_are_appended_and_counted_over_several_invocations(tmp_path: Path) -> None:
    path = tmp_path / "build" / "runs.jsonl"
    added = [
        line("switchover", seconds=1.0),
        line("switchover", error="away"),
        line("switchover", PEER, seconds=2.0),
    ]
    for each in added:
        Lines(path).add(each)
    assert list(Lines(path)) == added
    assert Lines(path).count(AIRKILN, "switchover") == 1
    assert Lines(path).count(PEER, "switchover", adopted=True) == 0


def test_the_model_of_the_predecessor_is_the_same_for_the_same_seed_and_cites_its_source() -> None:
    rows = predecessor.figures(draws=100)
    assert rows == predecessor.figures(draws=100)
    assert {row.figure for row in rows} <= SCENARIOS.keys()
    assert {row.source for row in rows} == {predecessor.SOURCE}


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [("scheduler_sigkill", 2, 15), ("scheduler_sigstop", 27, 45), ("host_killed", 396, 420)],
)
def test_the_model_stays_within_what_the_source_allows(fault: str, least: float, most: float) -> None:
    (row,) = (row for row in predecessor.figures(draws=2000) if row.figure == fault)
    assert least <= row.p50 <= row.p99 <= row.max <= most


def test_the_peer_is_spared_what_only_a_controller_can_do() -> None:
    ours, peers = default_scenarios(peer=False, adoption=False), default_scenarios(peer=True, adoption=False)
    assert len(ours) == 13
    assert set(ours) - set(peers) == {
        "switchover",
        "controller_sigkill",
        "controller_sigstop",
        "scheduler_hangs",
        "scheduler_sigkill_no_standby",
    }
    assert all(name in BUDGETS for name in ours)
    assert "scheduler_sigkill_adoption" in default_scenarios(peer=True, adoption=True)
