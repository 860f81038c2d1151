"""Each moment and number at which the decision about a pool changes, from both sides, in literal seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from airkiln.autoscale.decision import missing, not_terminated
from airkiln.autoscale.model import (
    Action,
    Demand,
    Group,
    Instance,
    Kind,
    Note,
    Observation,
    Protect,
    ScaleOut,
    State,
    Terminate,
    Unprotect,
)
from airkiln.pools.model import Pool
from tests.unit.airkiln.autoscale.groups import POOL, demand, group, note, of, step, worker, workers

BEGIN = 5000.0
"""Not 0: a difference of two moments must not be taken for a moment."""


class Steps:
    """One pool, decided about at the moments that a test chooses."""

    def __init__(self, pool: Pool = POOL) -> None:
        self.pool, self.state = pool, State()

    def at(
        self,
        now: float,
        demand: Demand | None,
        group: Group | None,
        cpu: float | None = None,
        memory: float | None = None,
    ) -> tuple[Action, ...]:
        observed = Observation(BEGIN + now, 0.0, demand, group, cpu, memory)
        self.state, actions = step(self.pool, self.state, observed)
        return actions


def ended(actions: tuple[Action, ...]) -> list[str]:
    return [name for each in of(actions, Terminate) if isinstance(each, Terminate) for name in each.instances]


@pytest.mark.parametrize(
    ("demand", "group", "capacity", "words"),
    [
        (None, group(workers(2)), 2, "the demand is unknown"),
        (None, None, 0, "the demand is unknown"),
        (demand(9), None, 0, "the group is unknown"),
    ],
)
def test_what_is_not_known_is_named_beside_the_capacity_that_stays(
    demand: Demand | None, group: Group | None, capacity: int, words: str
) -> None:
    assert Steps().at(0, demand, group) == (Note(Kind.UNKNOWN, capacity, 0, 0, f"{words}: capacity stays"),)


@pytest.mark.parametrize(("gap", "goes_on"), [(60.0, True), (60.5, False)])
def test_up_to_60_seconds_between_two_observations_the_cool_down_goes_on(gap: float, goes_on: bool) -> None:
    steps = Steps(replace(POOL, cooldown=100))
    for now in (0, 50):
        steps.at(now, demand(), group(workers(1)))
    assert bool(ended(steps.at(50 + gap, demand(), group(workers(1))))) is goes_on


@pytest.mark.parametrize(("seconds", "again"), [(59.5, False), (60.0, True)])
def test_a_worker_that_stays_in_service_is_ended_again_after_60_seconds(seconds: float, again: bool) -> None:
    steps = Steps(replace(POOL, cooldown=60))
    for now in (0, 60):
        actions = steps.at(now, demand(), group(workers(1)))
    assert ended(actions) == ["i-01"]
    steps.at(90, demand(), group(workers(1)))
    assert bool(ended(steps.at(60 + seconds, demand(), group(workers(1))))) is again


@pytest.mark.parametrize(("seconds", "ends"), [(59.5, False), (60.0, True)])
def test_a_worker_serves_for_60_seconds_before_it_ends(seconds: float, ends: bool) -> None:
    steps = Steps(replace(POOL, cooldown=0))
    assert not ended(steps.at(0, demand(), group(workers(1))))
    assert bool(ended(steps.at(seconds, demand(), group(workers(1))))) is ends


@pytest.mark.parametrize(("seconds", "bare"), [(59.5, False), (60.0, True)])
def test_a_worker_loses_its_protection_60_seconds_after_its_last_task(seconds: float, bare: bool) -> None:
    here = group([worker(1, protected=True)], least=1)
    steps = Steps()
    steps.at(0, demand(0, w1=1), here)
    steps.at(30, demand(0, w1=1), here)
    steps.at(60, demand(), here)
    assert bool(of(steps.at(30 + seconds, demand(), here), Unprotect)) is bare


@pytest.mark.parametrize(("seconds", "grows"), [(119.5, False), (120.0, True)])
def test_two_workers_that_cpu_adds_are_120_seconds_apart(seconds: float, grows: bool) -> None:
    steps = Steps()
    assert of(steps.at(0, demand(0, w1=1), group(workers(1)), cpu=99), ScaleOut) == [ScaleOut(2)]
    for now in (10, 60, 110):
        assert not of(steps.at(now, demand(0, w1=1), group(workers(2)), cpu=99), ScaleOut)
    actions = steps.at(seconds, demand(0, w1=1), group(workers(2)), cpu=99)
    assert bool(of(actions, ScaleOut)) is grows


@pytest.mark.parametrize(
    ("cpu", "memory", "grows"),
    [
        (POOL.cpu_limit, POOL.memory_limit, False),
        (POOL.cpu_limit + 0.1, None, True),
        (None, POOL.memory_limit + 0.1, True),
    ],
)
def test_a_limit_is_passed_above_it(cpu: float | None, memory: float | None, grows: bool) -> None:
    actions = Steps().at(0, demand(0, w1=1), group(workers(1)), cpu, memory)
    assert bool(of(actions, ScaleOut)) is grows


def test_demand_beyond_the_capacity_is_followed_whatever_cpu_says() -> None:
    actions = Steps().at(0, demand(20), group(workers(2)), cpu=99)
    assert actions[0] == ScaleOut(5)
    assert note(actions).reason == "20 tasks need 5 workers"


def test_growth_for_tasks_does_not_put_off_growth_for_cpu() -> None:
    steps = Steps()
    assert steps.at(0, demand(8), group(workers(1)))[0] == ScaleOut(2)
    assert steps.at(10, demand(0, w1=4, w2=4), group(workers(2)), cpu=99)[0] == ScaleOut(3)


def test_reasons_for_a_capacity_that_stays() -> None:
    full = Steps().at(0, demand(80), group(workers(2), most=2))
    assert note(full).reason == "80 tasks, and the pool is at its maximum"
    steps = Steps()
    assert note(steps.at(0, demand(8), group(workers(2)))).reason == "as many as are wanted"
    assert note(steps.at(10, demand(4), group(workers(2)))).reason == "the cool-down"
    steps = Steps()
    waiting = "more than is wanted, within the cool-down or with no idle worker"
    assert note(steps.at(0, demand(4), group(workers(2)))).reason == waiting
    at_least = Steps().at(0, demand(4), group(workers(2), least=2))
    assert note(at_least).reason == "as many as are wanted"


def test_what_is_decided_says_how_many_are_left_were_wanted_and_were_enough() -> None:
    steps = Steps(replace(POOL, cooldown=60))
    for now in (0, 30):
        steps.at(now, demand(8), group(workers(4)))
    actions = steps.at(60, demand(4), group(workers(4)))
    assert ended(actions) == ["i-04", "i-03"]
    assert note(actions) == Note(Kind.SCALE_IN, 2, 1, 2, "2 workers were enough for 60 s")


def test_a_capacity_that_stays_at_a_limit_names_the_limit() -> None:
    actions = Steps().at(0, demand(4), group(workers(1), most=1), cpu=99)
    assert note(actions).reason == f"CPU is at 99 %, beyond {POOL.cpu_limit:g} %"
    actions = Steps().at(0, demand(4), group(workers(1), most=1), memory=99)
    assert note(actions).reason == f"memory is at 99 %, beyond {POOL.memory_limit:g} %"


def test_an_idle_worker_takes_nothing_from_the_demand() -> None:
    actions = Steps().at(0, demand(4, w1=1), group(workers(2)))
    assert note(actions).wanted == 2


@pytest.mark.parametrize(("seconds", "peak"), [(60.0, 2), (60.5, 1)])
def test_the_cool_down_includes_the_moment_of_its_length_ago(seconds: float, peak: int) -> None:
    steps = Steps(replace(POOL, cooldown=60))
    steps.at(0, demand(8), group(workers(4)))
    steps.at(30, demand(4), group(workers(4)))
    assert note(steps.at(seconds, demand(4), group(workers(4)))).peak == peak


def test_a_worker_of_unknown_address_is_protected_as_a_busy_one() -> None:
    here = group([replace(worker(1), address=None)])
    assert of(Steps().at(0, demand(), here), Protect) == [Protect(("i-01",))]


def test_a_worker_that_was_told_to_end_is_neither_protected_nor_counted_again() -> None:
    steps = Steps(replace(POOL, cooldown=60))
    for now in (0, 60):
        steps.at(now, demand(), group(workers(2), least=1))
    actions = steps.at(70, demand(0, w2=1), group(workers(2), desired=1, least=1))
    assert [type(each) for each in actions] == [Note], "i-02 ends: its task is its drain's"


@pytest.mark.parametrize(("seconds", "ends"), [(59.5, False), (60.0, True)])
def test_a_worker_serves_from_when_it_is_in_service_and_not_from_its_launch(
    seconds: float, ends: bool
) -> None:
    steps = Steps(replace(POOL, cooldown=0))
    steps.at(0, demand(), group([worker(1, "Pending")]))
    assert not ended(steps.at(50, demand(), group(workers(1))))
    assert bool(ended(steps.at(50 + seconds, demand(), group(workers(1))))) is ends


@pytest.mark.parametrize(("seconds", "bare"), [(59.5, False), (60.0, True)])
def test_a_worker_whose_address_was_not_known_counts_as_busy_until_then(seconds: float, bare: bool) -> None:
    steps = Steps()
    for now in (0, 30):
        steps.at(now, demand(), group([replace(worker(1, protected=True), address=None)], least=1))
    here = group([worker(1, protected=True)], least=1)
    steps.at(60, demand(), here)
    assert bool(of(steps.at(30 + seconds, demand(), here), Unprotect)) is bare


def test_tasks_on_a_worker_of_unknown_address_are_those_that_run_on_none_that_is_known() -> None:
    here = group([worker(1), replace(worker(2), address=None), worker(3, "Terminating:Wait")], desired=2)
    assert note(Steps().at(0, demand(0, w1=1, w3=8), here)).wanted == 1
    assert note(Steps().at(0, demand(0, w1=1, w9=8), here)).wanted == 3


def test_a_worker_that_has_ended_no_longer_holds_another_back() -> None:
    steps = Steps(replace(POOL, cooldown=60))
    for now, queued in ((0, 8), (30, 4)):
        steps.at(now, demand(queued), group(workers(3)))
    assert ended(steps.at(60, demand(4), group(workers(3)))) == ["i-03"]
    assert ended(steps.at(61, demand(4), group(workers(2)))) == ["i-02"]


def test_a_worker_that_ends_already_is_not_chosen_again_while_aws_lists_it() -> None:
    steps = Steps(replace(POOL, cooldown=60))
    for now, queued in ((0, 12), (30, 4)):
        steps.at(now, demand(queued), group(workers(4)))
    assert ended(steps.at(60, demand(4), group(workers(4)))) == ["i-04"]
    assert ended(steps.at(61, demand(4), group(workers(4), desired=3))) == ["i-03"]


def test_only_workers_in_service_are_protected_and_only_once() -> None:
    launching = replace(worker(1, "Pending"), address=None)
    here = group([launching, worker(2), worker(3, protected=True)])
    assert of(Steps().at(0, demand(0, w2=1, w3=1), here), Protect) == [Protect(("i-02",))]


def test_busy_workers_are_protected_in_the_step_that_ends_others() -> None:
    steps = Steps(replace(POOL, cooldown=60))
    for now in (0, 30):
        steps.at(now, demand(4), group(workers(2)))
    actions = steps.at(60, demand(0, w1=1), group(workers(2)))
    assert ended(actions) == ["i-02"]
    assert of(actions, Protect) == [Protect(("i-01",))]


def test_a_group_at_its_maximum_that_needs_fewer_waits_for_its_cool_down() -> None:
    reason = note(Steps().at(0, demand(4), group(workers(2), most=2))).reason
    assert "maximum" not in reason


@pytest.mark.parametrize(
    ("here", "desired", "expected"),
    [
        ([worker(1), worker(2, "Pending"), worker(3, "Terminating:Wait")], 3, 2),
        (workers(2), 2, 0),
        (workers(2), 1, 0),
        ([], 0, 0),
    ],
    ids=["two do not serve", "all serve", "one more serves than is wanted", "an empty pool"],
)
def test_workers_are_missing_that_the_group_wants_and_that_are_not_in_service(
    here: Iterable[Instance], desired: int, expected: int
) -> None:
    assert missing(group(here, desired)) == expected


def test_after_a_refusal_only_the_refused_worker_counts_as_before() -> None:
    state = State(terminated={"i-01": 5.0, "i-02": 6.0})
    assert not_terminated(state, ["i-02", "i-03"]).terminated == {"i-01": 5.0}
    assert not_terminated(state, ["i-03"]) == state
