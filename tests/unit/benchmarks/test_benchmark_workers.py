"""The figures of the workers' benchmarks, from raw lines."""

from __future__ import annotations

from benchmarks import checkpoint, drain, queue, scaling
from benchmarks.document import description

STAMP = ("2026-11-21T06:00:00+00:00", "0123456789ab", "ami-1")


def test_a_kind_of_drain_counts_its_drains_and_what_went_wrong_with_tasks() -> None:
    drains: list[dict[str, object]] = [{"seconds": 12.0}, {"seconds": 20.0}]
    rows = drain.figures(
        [
            drain.Line(
                drain.AIRKILN,
                "spot_notice",
                *STAMP,
                drains=drains,
                tasks=40,
                reruns=[9.0],
                outlived=1,
                memory=[47.0],
            ),
            drain.Line(drain.PEER, "systemctl_stop", *STAMP, drains=drains[:1], tasks=10, problems=["lost"]),
        ]
    )
    assert [(row.figure, row.subject, row.n, row.max, row.budget) for row in rows] == [
        ("spot_notice", drain.AIRKILN, 2, 20.0, None),
        ("spot_notice_lost_failed_or_twice", drain.AIRKILN, 40, 0, 0.0),
        ("spot_notice_rerun", drain.AIRKILN, 1, 9.0, 15.0),
        ("spot_notice_outlived", drain.AIRKILN, 1, 1, None),
        ("systemctl_stop", drain.PEER, 1, 12.0, None),
        ("systemctl_stop_lost_failed_or_twice", drain.PEER, 10, 1, None),
        ("lifecycle_memory", drain.AIRKILN, 1, 47.0, 64.0),
    ]


def test_a_pool_that_follows_has_a_row_a_step_and_a_lost_leader_its_own() -> None:
    zero, one = {"decided": 6.0, "running": 30.0}, {"decided": 8.0, "running": 33.0}
    rows = scaling.figures(
        [
            scaling.Line(*STAMP, zero=zero, one=one, back=38.0, tasks=8, memory=[58.0]),
            scaling.Line(*STAMP, zero=zero, back=70.0, leader_lost=True, tasks=8, problems=["twice"]),
            scaling.Line(*STAMP, error="no worker came"),
        ]
    )
    assert [(row.figure, row.n, row.max, row.budget) for row in rows] == [
        ("zero_decided", 2, 6.0, 15.0),
        ("zero_running", 2, 30.0, 45.0),
        ("one_decided", 1, 8.0, 15.0),
        ("one_running", 1, 33.0, 45.0),
        ("back_at_zero", 1, 38.0, 40.0),
        ("leader_lost", 1, 70.0, None),
        ("lost_failed_or_twice", 16, 1, 0.0),
        ("autoscale_memory", 1, 58.0, 64.0),
    ]


def test_a_case_of_the_queue_that_could_not_be_made_counts_for_nothing() -> None:
    rows = queue.figures(
        [
            queue.Line("killed_while_polling", *STAMP, seconds=61.0),
            queue.Line("killed_while_polling", *STAMP, error="no leader"),
            queue.Line("copied", *STAMP, problems=["failed"]),
        ]
    )
    assert [(row.figure, row.n, row.max, row.budget) for row in rows] == [
        ("killed_while_polling", 1, 61.0, 120.0),
        ("killed_while_polling_lost_failed_or_twice", 1, 0, 0.0),
        ("copied_lost_failed_or_twice", 1, 1, 0.0),
    ]


def test_the_document_tells_what_each_measures() -> None:
    assert "returns to zero workers" in description("scaling")
    assert "delivered again" in description("queue")
    assert "scripts/systemd" in description("drain")


def test_figures_that_were_gathered_name_the_last_day_and_the_commits_they_were_made_at() -> None:
    older = queue.Line("copied", "2026-11-20T06:00:00+00:00", "a" * 12, "ami-1")
    newer = queue.Line("copied", *STAMP)
    assert checkpoint.measured([newer, older]) == ("2026-11-21", f"{'a' * 12}..0123456789ab")
    assert checkpoint.measured([newer, newer]) == ("2026-11-21", "0123456789ab")
    assert checkpoint.measured([]) is None


def test_the_steps_of_scaling_out_come_from_the_scenarios_figures() -> None:
    figures = {"zero_decided": [6.0], "zero_running": [30.0], "one_decided": [8.0], "one_running": [33.0]}
    assert scaling.steps(figures) == [
        {"decided": 6.0, "running": 30.0},
        {"decided": 8.0, "running": 33.0},
    ]
