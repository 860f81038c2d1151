"""A week of load as it comes in practice: no flapping, back at zero, and the same twice."""

from __future__ import annotations

from array import array
from itertools import pairwise
from pathlib import Path

import pytest

from airkiln.pools.model import Pool
from airkiln.simulation.history import History, Tasks, read_csv
from airkiln.simulation.outcomes import OURS, Replay
from airkiln.simulation.policies import CYCLE, Airkiln
from airkiln.simulation.queueing import WorkerGroup
from airkiln.simulation.replay import replay, simulate
from airkiln.simulation.settings import Setting, Shape
from benchmarks import week

TASKS = 30_000
POOL = Pool("default", 4, ("default",), cooldown=300, scale_out_step=10)
SHAPE = Shape(POOL, max=30, price=0.1)


@pytest.fixture(scope="module")
def history() -> History:
    return week.week(TASKS)


@pytest.fixture(scope="module")
def workers(history: History) -> WorkerGroup:
    return replay(history.queues["default"], SHAPE, Airkiln(POOL))


@pytest.fixture(scope="module")
def replays(history: History) -> dict[str, Replay]:
    found = simulate(history, [Setting("week", {"default": SHAPE})], ["turbine", "target-tracking", "keda"])
    return {each.outcome.policy: each for each in found}


def test_the_week_has_peaks_bursts_and_a_backfill(history: History) -> None:
    tasks = history.queues["default"]
    assert len(tasks) == pytest.approx(TASKS, abs=2)
    hours = [0] * (week.DAYS * 24)
    for queued_at in tasks.queued_at:
        hours[min(int((queued_at - week.BEGIN) / 3600), len(hours) - 1)] += 1
    backfill = int((week.BACKFILL - week.BEGIN) / 3600)
    assert hours[backfill] > 1000
    assert hours[10] > 3 * hours[3]  # Monday's peak and night
    assert sum(hours[5 * 24 :]) < sum(hours[:24]) + sum(hours[24:48])  # the weekend, and two days
    first_minutes = sum((queued_at - week.BEGIN) % 3600 < 120 for queued_at in tasks.queued_at)
    assert first_minutes > TASKS / 4


def test_the_same_seed_gives_the_same_week(history: History, tmp_path: Path) -> None:
    again = week.week(TASKS)
    assert again.queues["default"].queued_at == history.queues["default"].queued_at
    assert again.queues["default"].seconds == history.queues["default"].seconds
    assert week.week(TASKS, seed=1).queues["default"].seconds != history.queues["default"].seconds
    week.write(history, tmp_path / "week.csv")
    read = read_csv(tmp_path / "week.csv").queues["default"]
    assert read.queued_at.tolist() == pytest.approx(history.queues["default"].queued_at.tolist(), abs=0.001)


def test_the_same_history_has_the_same_outcome(history: History, workers: WorkerGroup) -> None:
    again = replay(history.queues["default"], SHAPE, Airkiln(POOL))
    assert again.changes == workers.changes
    assert again.waits == workers.waits
    assert again.cost() == workers.cost()


def test_no_scale_in_within_the_cool_down_of_a_scale_out(workers: WorkerGroup) -> None:
    grown = float("-inf")
    for (_, before), (since, after) in pairwise(workers.changes):
        if after > before:
            grown = since
            assert after - before <= POOL.scale_out_step
        else:
            assert since - grown >= POOL.cooldown


def test_the_capacity_is_steady_where_the_demand_is() -> None:
    """Eleven tasks for a day: three workers, asked for once and ended once."""
    tasks = Tasks(array("d", [week.BEGIN] * 11), array("d", [week.DAY] * 11))
    found = replay(tasks, SHAPE, Airkiln(POOL)).changes
    assert [count for _, count in found] == [0, 3, 0]


def test_the_group_is_empty_one_cool_down_after_the_last_task(history: History, workers: WorkerGroup) -> None:
    tasks = history.queues["default"]
    assert workers.done
    assert workers.changes[-1][1] == 0
    ended = workers.now - CYCLE - POOL.cooldown
    assert max(map(float.__add__, tasks.queued_at, tasks.seconds)) >= ended - 2 * CYCLE


def test_waiting_beside_the_peers(replays: dict[str, Replay]) -> None:
    ours = replays[OURS].outcome
    assert ours.flaps == 0
    assert ours.unserved == 0
    assert ours.wait_p95 < replays["turbine"].outcome.wait_p95 / 10
    assert ours.wait_p95 < replays["target-tracking"].outcome.wait_p95
    assert ours.worker_hours < replays["target-tracking"].outcome.worker_hours
    assert replays["keda"].outcome.flaps > 0
    for each in replays.values():
        assert each.outcome.tasks == ours.tasks
        assert each.outcome.workers_max <= SHAPE.max
