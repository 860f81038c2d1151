"""The figures of the failover benchmark, from raw lines; and the predecessor's model."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import predecessor
from benchmarks.campaign import AIRKILN, PEER, Line, Lines
from benchmarks.failover import figures
from rehearsal.chaos.faults.schedulers import FAULTS


def line(fault: str, subject: str = AIRKILN, **values: object) -> Line:
    made = Line(subject, fault, "2026-11-21T06:00:00+00:00", "0123456789ab", "ami-1")
    for name, value in values.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made


def test_a_fault_has_a_row_for_each_subject_and_its_budget_is_ours_alone() -> None:
    rows = figures(
        [
            line("lock_held", seconds=9.0),
            line("lock_held", seconds=11.0),
            line("lock_held", PEER, seconds=60.0, adopted=300.0),
        ]
    )
    assert [
        (row.figure, row.subject, row.n, row.max, row.budget) for row in rows if "lock" in row.figure
    ] == [
        ("lock_held", AIRKILN, 2, 11.0, 15.0),
        ("lock_held", PEER, 1, 60.0, None),
        ("lock_held_adopted", PEER, 1, 300.0, None),
    ]


def test_what_must_not_be_is_counted_over_all_our_runs() -> None:
    rows = {
        row.figure: row
        for row in figures(
            [
                line("hand_over", seconds=1.0),
                line("hand_over", seconds=1.0, overlaps=["write by epoch 1"]),
                line("hand_over", error="no task instance was queued"),
                line("hand_over", PEER, seconds=1.0, problems=["lost"]),
            ]
        )
        if row.subject == AIRKILN
    }
    assert (rows["overlaps"].n, rows["overlaps"].max) == (3, 1)
    assert (rows["lost_or_twice"].n, rows["lost_or_twice"].max) == (3, 0)
    assert (rows["without_a_figure"].n, rows["without_a_figure"].max) == (3, 1)
    assert rows["hand_over"].n == 2


def test_a_fault_after_which_the_peer_queued_nothing_has_a_row_that_says_so() -> None:
    (row,) = (row for row in figures([line("lock_held", PEER, error="none")]) if row.figure == "lock_held")
    assert (row.n, row.p50) == (1, 60.0)
    assert "given up after 60 s" in row.source


def test_every_fence_of_every_run_counts() -> None:
    rows = figures([line("host_killed", seconds=5.0, fences=[0.02, 0.03]), line("hand_over", fences=[0.07])])
    (fence,) = (row for row in rows if row.figure == "fence")
    assert (fence.n, fence.p50, fence.max, fence.budget) == (3, 0.03, 0.07, 0.25)


def test_lines_are_kept_and_counted_over_several_invocations(tmp_path: Path) -> None:
    path = tmp_path / "build" / "runs.jsonl"
    kept = [
        line("hand_over", seconds=1.0),
        line("hand_over", error="away"),
        line("hand_over", PEER, seconds=2.0),
    ]
    for each in kept:
        Lines(path).add(each)
    assert list(Lines(path)) == kept
    assert Lines(path).count(AIRKILN, "hand_over") == 1
    assert Lines(path).count(PEER, "hand_over", adopted=True) == 0


def test_the_model_of_the_predecessor_is_the_same_for_the_same_seed_and_cites_its_source() -> None:
    rows = predecessor.figures(draws=100)
    assert rows == predecessor.figures(draws=100)
    assert {row.figure for row in rows} <= FAULTS.keys()
    assert {row.source for row in rows} == {predecessor.SOURCE}


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [("scheduler_sigkill", 2, 15), ("scheduler_sigstop", 27, 45), ("host_killed", 396, 420)],
)
def test_the_model_stays_within_what_the_source_allows(fault: str, least: float, most: float) -> None:
    (row,) = (row for row in predecessor.figures(draws=2000) if row.figure == fault)
    assert least <= row.p50 <= row.p99 <= row.max <= most
