"""The queueing model: small histories by hand, and what always holds over invented ones."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from airkiln.autoscale.model import IN_SERVICE
from airkiln.pools.model import Pool, Scheduled
from airkiln.simulation.history import Tasks
from airkiln.simulation.peers import Keda, TargetTracking, Turbine
from airkiln.simulation.policies import Airkiln, Policy
from airkiln.simulation.queueing import TERMINATING, Machines, WorkerGroup
from airkiln.simulation.replay import replay
from airkiln.simulation.settings import Shape

BEGIN = 1_780_876_800.0


def history(*given_tasks: tuple[float, float]) -> Tasks:
    """Tasks by seconds from the beginning and seconds that they run."""
    return Tasks(
        array("d", (BEGIN + queued_at for queued_at, _ in given_tasks)),
        array("d", (seconds for _, seconds in given_tasks)),
    )


class Watched(WorkerGroup):
    """A workers that keeps who began what and when, and when each worker was asked for and told to end."""

    def __init__(self, tasks: Tasks, machines: Machines, begin: float = BEGIN) -> None:
        self.started: list[tuple[float, str, float]] = []
        self.asked_for: dict[str, float] = {}
        self.told: dict[str, float] = {}
        super().__init__(tasks, machines, begin)

    def _start(self, worker: str, at: float, seconds: float) -> None:
        self.started.append((at, worker, seconds))
        super()._start(worker, at, seconds)

    def _launch(self, now: float) -> str:
        worker = super()._launch(now)
        self.asked_for[worker] = now
        return worker

    def terminate(self, names: Iterable[str]) -> None:
        chosen = tuple(names)
        self.told |= dict.fromkeys(chosen, self.now)
        super().terminate(chosen)


def begun(workers: Watched) -> list[float]:
    return [at - BEGIN for at, _, _ in workers.started]


def test_one_slot_runs_one_after_the_other() -> None:
    workers = Watched(history((0, 10), (1, 10), (25, 5)), Machines(1, 1, 1, 45))
    workers.advance(BEGIN + 100)
    assert begun(workers) == [0, 10, 25]
    assert list(workers.waits) == [9]
    assert workers.done


def test_a_worker_serves_after_its_boot_with_all_its_slots() -> None:
    workers = Watched(history((0, 10), (0, 10), (50, 10)), Machines(2, 0, 5, 45))
    workers.advance(BEGIN + 10)
    assert (workers.queued, workers.running, workers.serving()) == (2, 0, 0)
    assert workers.oldest == 10
    workers.scale_out(1)
    workers.advance(BEGIN + 54)
    assert workers.queued == 3
    workers.advance(BEGIN + 70)
    assert begun(workers) == [55, 55, 65]
    assert list(workers.waits) == [55, 55, 15]


def test_tasks_go_to_the_slot_that_has_been_free_longest() -> None:
    workers = Watched(history((0, 1), (1, 1), (2, 1), (3, 1)), Machines(1, 2, 2, 45))
    workers.advance(BEGIN + 10)
    assert [worker for _, worker, _ in workers.started] == ["i-000000", "i-000001", "i-000000", "i-000001"]


def test_a_busy_worker_that_is_to_end_takes_nothing_more_and_goes_when_it_is_done() -> None:
    workers = Watched(history((0, 100), (20, 5)), Machines(2, 1, 2, 45))
    workers.advance(BEGIN + 10)
    workers.terminate(["i-000000"])
    assert [each.lifecycle for each in workers.group.instances] == [TERMINATING]
    workers.advance(BEGIN + 50)
    assert (workers.desired, workers.queued, workers.running) == (0, 1, 1)
    workers.scale_out(1)
    workers.advance(BEGIN + 200)
    assert begun(workers) == [0, 95]
    assert [each.id for each in workers.group.instances] == ["i-000001"]
    assert (
        workers.cost() == 100 + 150
    )  # the first until its task's end, the second from when it was asked for


def test_an_idle_worker_and_one_that_boots_go_at_once() -> None:
    workers = Watched(history((500, 1)), Machines(1, 1, 3, 45))
    workers.advance(BEGIN + 10)
    workers.scale_out(2)
    workers.terminate(["i-000000", "i-000001"])
    assert (workers.desired, workers.group.instances) == (0, ())
    workers.advance(BEGIN + 400)
    assert workers.serving() == 0
    assert workers.changes == [(BEGIN, 1), (BEGIN + 10, 2), (BEGIN + 10, 0)]


def test_the_group_is_as_aws_shows_it() -> None:
    workers = Watched(history((0, 5)), Machines(1, 1, 3, 45))
    workers.scale_out(2)
    assert [(each.lifecycle, each.address) for each in workers.group.instances] == [
        (IN_SERVICE, "i-000000"),
        ("Pending", "i-000001"),
    ]
    workers.protect(["i-000000"], protected=True)
    assert [each.protected for each in workers.group.instances] == [True, False]


class Whims:
    """Grows and ends by a list of whims, busy workers too."""

    every = 10.0

    def __init__(self, whims: list[int]) -> None:
        self._whims = whims

    def act(self, workers: WorkerGroup) -> None:
        whim = self._whims.pop() if self._whims else 1
        aim = max(workers.least, min(workers.desired + whim, workers.most))
        if not self._whims:
            aim = max(aim, 1)
        if aim > workers.desired:
            workers.scale_out(aim)
        elif aim < workers.desired:
            workers.scale_in(aim, newest=bool(whim % 2))


def policies(slots: int) -> st.SearchStrategy[Policy]:
    return st.one_of(
        st.builds(Airkiln, st.just(Pool("p", slots, ("q",), cooldown=60, scale_out_step=2))),
        st.builds(Turbine),
        st.builds(Keda, st.just(slots)),
        st.builds(TargetTracking, st.just(slots), st.just(30.0)),
        st.builds(Whims, st.lists(st.integers(-3, 3), max_size=60)),
    )


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Tasks, Machines, Policy]:
    gaps = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 200)), min_size=1, max_size=60))
    moment, tasks = 0, []
    for gap, seconds in gaps:
        moment += gap
        tasks.append((moment, seconds))
    slots, most = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    least = draw(st.integers(0, most))
    machines = Machines(slots, max(least, 1), most, draw(st.sampled_from((0.0, 7.0, 45.0))))
    return history(*tasks), machines, draw(policies(slots))


@settings(max_examples=300)
@given(scenes())
def test_every_task_starts_once_in_order_on_a_worker_that_serves(
    scene: tuple[Tasks, Machines, Policy],
) -> None:
    tasks, machines, policy = scene
    workers = Watched(tasks, machines)
    now = BEGIN
    while not workers.done:
        now += policy.every
        workers.advance(now)
        policy.act(workers)
        assert workers.least <= workers.desired <= workers.most
        assert sum(each.lifecycle != TERMINATING for each in workers.group.instances) == workers.desired
        assert all(count <= machines.slots for count in workers.busy.values())
    assert len(workers.started) == len(tasks)
    assert [seconds for _, _, seconds in workers.started] == list(tasks.seconds)
    assert all(
        at >= queued_at for (at, _, _), queued_at in zip(workers.started, tasks.queued_at, strict=True)
    )
    assert all(first <= second for (first, _, _), (second, _, _) in pairwise(workers.started))
    waited = [at - queued_at for (at, _, _), queued_at in zip(workers.started, tasks.queued_at, strict=True)]
    assert [wait for wait in waited if wait] == list(workers.waits)
    first = [f"i-{number:06}" for number in range(machines.least)]
    for at, worker, _ in workers.started:
        boot = 0.0 if worker in first else machines.boot
        assert at >= workers.asked_for[worker] + boot
        assert at <= workers.told.get(worker, at)
    _never_more_than_its_slots(workers, machines.slots)


def _never_more_than_its_slots(workers: Watched, slots: int) -> None:
    events: dict[str, list[tuple[float, int]]] = {}
    for at, worker, seconds in workers.started:
        if seconds:
            events.setdefault(worker, []).extend([(at, 1), (at + seconds, -1)])
    for found in events.values():
        at_once = 0
        for _, change in sorted(found):
            at_once += change
            assert at_once <= slots


@settings(max_examples=50)
@given(scenes())
def test_no_task_waits_while_a_slot_is_free(scene: tuple[Tasks, Machines, Policy]) -> None:
    tasks, machines, policy = scene
    workers = Watched(tasks, machines)
    now = BEGIN
    while not workers.done:
        now += policy.every
        workers.advance(now)
        full = all(
            workers.busy[each.id] == machines.slots
            for each in workers.group.instances
            if each.lifecycle == IN_SERVICE
        )
        assert full or not workers.queued
        policy.act(workers)


def test_one_task_from_zero_and_back_to_zero() -> None:
    """Observation at 10 s, served at 55 s, ended at 155 s; 150 s is the last look that wants a worker."""
    shape = Shape(Pool("p", 4, ("q",), cooldown=300), max=5, boot=45)
    workers = replay(history((0, 100)), shape, Airkiln(shape.pool))
    assert workers.changes == [(BEGIN, 0), (BEGIN + 10, 1), (BEGIN + 460, 0)]
    assert list(workers.waits) == [55]
    assert workers.cost() == 450


def test_the_size_of_a_scale_out_is_the_pools() -> None:
    shape = Shape(Pool("p", 1, ("q",), scale_out_step=3), max=20, boot=45)
    workers = replay(history(*[(0.0, 300.0)] * 8), shape, Airkiln(shape.pool))
    assert [count for _, count in workers.changes[:4]] == [0, 3, 6, 8]


def test_a_schedule_keeps_its_workers_by_the_time_of_the_history() -> None:
    """BEGIN is a midnight in UTC: two workers for half an hour, though the one task is long over."""
    hours = Scheduled(frozenset(range(7)), start=0, until=30, timezone="UTC", min=2)
    shape = Shape(Pool("p", 4, ("q",), cooldown=300, schedule=(hours,)), max=5, boot=45)
    workers = replay(history((0, 100)), shape, Airkiln(shape.pool))
    assert [(since - BEGIN, count) for since, count in workers.changes] == [(0, 0), (10, 2), (2100, 0)]


class Never:
    """Looks, and does nothing."""

    every = 60.0

    def act(self, workers: WorkerGroup) -> None:
        assert workers.desired == 0


def test_a_replay_ends_though_its_tasks_never_begin() -> None:
    workers = replay(history((0, 100), (5, 100)), Shape(Pool("p", 4, ("q",))), Never())
    assert (workers.done, workers.unserved, workers.cost()) == (False, 2, 0)
