"""The peers' policies, each by a history worked out by hand from what they publish."""

from __future__ import annotations

from airkiln.cli import PEERS as NAMES
from airkiln.pools.model import Pool
from airkiln.simulation.history import Tasks
from airkiln.simulation.peers import PEERS, TargetTracking
from airkiln.simulation.queueing import Machines, WorkerGroup
from airkiln.simulation.replay import replay
from airkiln.simulation.settings import Shape
from tests.unit.airkiln.simulation.test_queueing import BEGIN, history


def changes(name: str, tasks: Tasks, *, slots: int = 1, most: int = 10) -> list[tuple[float, int]]:
    shape = Shape(Pool("p", slots, ("q",)), max=most, boot=45)
    peer = PEERS[name]
    workers = replay(tasks, shape, peer.make(shape.pool, tasks), least=peer.least)
    return [(since - BEGIN, count) for since, count in workers.changes]


def test_the_command_offers_them_all() -> None:
    assert tuple(PEERS) == NAMES


def test_turbine_sees_a_message_after_its_period_and_its_run() -> None:
    """0-300 s, read at 360 s. In the next period it idles for 14 of 20 looks: 0.3; the cool-down is 600 s."""
    assert changes("turbine", history((0, 60))) == [(0, 0), (360, 1), (960, 0)]


def test_turbine_grows_by_one_in_ten_minutes_while_everyone_is_busy() -> None:
    grown = changes("turbine", history(*[(0.0, 3000.0)] * 4), most=3)
    assert grown[:4] == [(0, 0), (360, 1), (960, 2), (1560, 3)]


def test_target_tracking_wants_three_minutes_and_then_grows_in_proportion() -> None:
    """60 s by 4 slots over 600 s are 0.4 messages a worker: one at least; 96 wait."""
    found = changes("target-tracking", history(*[(0.0, 600.0)] * 100), slots=4)
    assert found[:2] == [(0, 1), (180, 10)]


def test_target_tracking_keeps_one_worker() -> None:
    assert changes("target-tracking", history((0, 60))) == [(0, 1)]


def test_target_tracking_shrinks_after_a_quarter_of_an_hour_below() -> None:
    tasks = history((0, 1))
    shape = Shape(Pool("p", 4, ("q",)), min=3, max=10)
    workers = WorkerGroup(tasks, _machines(shape), BEGIN)
    workers.least = 1
    policy = TargetTracking(4, 60.0)
    for minute in range(1, 18):
        workers.advance(BEGIN + 60 * minute)
        policy.act(workers)
    assert [(since - BEGIN, count) for since, count in workers.changes] == [(0, 3), (900, 2), (960, 1)]


def test_keda_comes_from_zero_at_once_and_goes_there_half_a_minute_after() -> None:
    """Asked for at 5 s, served at 50 s, ended at 110 s; 105 s is the last poll that counts a task."""
    assert changes("keda", history((0, 60))) == [(0, 0), (5, 1), (135, 0)]


def test_the_hpa_doubles_or_adds_four_every_fifteen_seconds() -> None:
    found = changes("keda", history(*[(0.0, 600.0)] * 30), most=20)
    assert found[:5] == [(0, 0), (5, 1), (15, 5), (30, 10), (45, 20)]


def test_the_hpa_holds_the_greatest_of_five_minutes() -> None:
    """One of two tasks ends at 110 s: 105 s is the last look that wanted two, and 405 s its window's end."""
    found = changes("keda", history((0, 60), (0, 1000)), most=2)
    assert found[:4] == [(0, 0), (5, 1), (15, 2), (405, 1)]


def _machines(shape: Shape) -> Machines:
    return Machines(shape.pool.slots, shape.min, shape.max, shape.boot)
