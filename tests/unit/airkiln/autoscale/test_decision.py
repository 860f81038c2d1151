"""How many workers a pool has: each rule by a case (invariants: test_decision_invariants.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from airkiln.autoscale.decision import GAP, GUARD_EVERY, SETTLED
from airkiln.autoscale.model import (
    Kind,
    Note,
    Observation,
    Protect,
    ScaleOut,
    State,
    Terminate,
    Unprotect,
)
from airkiln.pools.model import Scheduled
from tests.unit.airkiln.autoscale.groups import (
    CYCLE,
    POOL,
    demand,
    group,
    held,
    note,
    of,
    step,
    worker,
    workers,
)


def test_from_zero_it_grows_at_the_first_task() -> None:
    _, actions = step(POOL, State(), Observation(0, 0, demand(queued=1), group()))
    assert actions[0] == ScaleOut(1)
    assert note(actions).kind is Kind.SCALE_OUT


def test_workers_are_tasks_over_slots_rounded_up() -> None:
    for queued, wanted in ((4, 1), (5, 2), (8, 2), (9, 3)):
        _, actions = step(POOL, State(), Observation(0, 0, demand(queued), group()))
        assert actions[0] == ScaleOut(wanted)


def test_running_tasks_count_as_queued_ones_do() -> None:
    _, actions = step(POOL, State(), Observation(0, 0, demand(3, w1=4, w2=2), group(workers(2))))
    assert actions[0] == ScaleOut(3)


def test_tasks_of_workers_that_are_going_ask_for_nobody() -> None:
    for lifecycle in ("Terminating:Wait", "Terminating", "Terminating:Proceed", "Detaching", "Standby"):
        here = (worker(1), worker(2, lifecycle))
        _, actions = step(POOL, State(), Observation(0, 0, demand(0, w1=4, w2=4), group(here, desired=1)))
        assert note(actions).wanted == 1


def test_tasks_of_a_worker_that_is_gone_ask_for_nobody() -> None:
    _, actions = step(POOL, State(), Observation(0, 0, demand(0, w9=4), group(workers(1))))
    assert note(actions).wanted == 0


def test_while_an_address_is_not_known_tasks_elsewhere_may_be_on_that_worker() -> None:
    here = (worker(1), replace(worker(2), address=None))
    _, actions = step(POOL, State(), Observation(0, 0, demand(0, w1=4, w9=4), group(here)))
    assert note(actions).wanted == 2


def test_what_is_launching_is_capacity() -> None:
    here = (worker(1), worker(2, "Pending"))
    _, actions = step(POOL, State(), Observation(0, 0, demand(8), group(here)))
    assert not of(actions, ScaleOut)
    _, actions = step(POOL, State(), Observation(0, 0, demand(8), group(workers(1), desired=2)))
    assert not of(actions, ScaleOut), "asked for and not there yet"


def test_a_step_grows_by_its_cap() -> None:
    pool = replace(POOL, scale_out_step=3)
    _, actions = step(pool, State(), Observation(0, 0, demand(80), group()))
    assert actions[0] == ScaleOut(3)
    _, actions = step(pool, State(), Observation(0, 0, demand(80), group(workers(3))))
    assert actions[0] == ScaleOut(6)


def test_the_groups_bounds_hold() -> None:
    _, actions = step(POOL, State(), Observation(0, 0, demand(400), group(workers(18), most=20)))
    assert actions[0] == ScaleOut(20)
    _, actions = step(POOL, State(), Observation(0, 0, demand(400), group(workers(20), most=20)))
    assert note(actions).kind is Kind.HOLD
    _, actions = held(Observation(0, 0, demand(), group(workers(3), least=2)), 300)
    assert actions[0] == Terminate(("i-03",))
    _, actions = held(Observation(0, 0, demand(), group(workers(2), least=2)), 400)
    assert note(actions).kind is Kind.HOLD


def test_back_at_zero_one_cycle_after_the_cool_down() -> None:
    state, _ = step(POOL, State(), Observation(0, 0, demand(0, w1=1), group(workers(1))))
    idle = Observation(CYCLE, 0, demand(), group(workers(1)))
    state, actions = held(idle, POOL.cooldown - CYCLE, state=state)
    assert not of(actions, Terminate)
    _, actions = step(POOL, state, replace(idle, now=POOL.cooldown + CYCLE))
    assert actions[0] == Terminate(("i-01",))


def test_a_new_leader_ends_nothing_for_a_cool_down() -> None:
    idle = Observation(5000, 0, demand(), group(workers(3)))
    state, actions = held(idle, POOL.cooldown - CYCLE)
    assert note(actions).kind is Kind.HOLD
    _, actions = step(POOL, state, replace(idle, now=5000 + POOL.cooldown))
    assert len(of(actions, Terminate)) == 1


def test_a_gap_begins_the_cool_down_anew() -> None:
    idle = Observation(0, 0, demand(), group(workers(3)))
    state, _ = held(idle, POOL.cooldown - CYCLE)
    late = replace(idle, now=POOL.cooldown + GAP)
    state, actions = step(POOL, state, late)
    assert not of(actions, Terminate)
    _, actions = held(late, POOL.cooldown, state=state)
    assert of(actions, Terminate)


def test_idle_ones_end_and_busy_ones_stay() -> None:
    _, actions = held(Observation(0, 0, demand(0, w1=1, w3=1), group(workers(4))), 300)
    assert of(actions, Terminate) == [Terminate(("i-04", "i-02"))]


def test_with_nobody_idle_nothing_ends() -> None:
    _, actions = held(Observation(0, 0, demand(0, w1=1, w2=1, w3=1), group(workers(3))), 400)
    assert note(actions).kind is Kind.HOLD


def test_a_worker_of_unknown_address_stays() -> None:
    here = (worker(1), replace(worker(2), address=None))
    _, actions = held(Observation(0, 0, demand(), group(here)), 300)
    assert of(actions, Terminate) == [Terminate(("i-01",))]


def test_one_that_serves_for_less_than_a_minute_stays() -> None:
    pool = replace(POOL, cooldown=0)
    first = Observation(0, 0, demand(), group(workers(1)))
    state, actions = held(first, SETTLED - CYCLE, pool)
    assert not of(actions, Terminate)
    _, actions = step(pool, state, replace(first, now=SETTLED))
    assert of(actions, Terminate)


def test_the_fullest_zone_gives_first_and_its_newest_worker() -> None:
    here = (worker(1, zone="a"), worker(2, zone="b"), worker(3, zone="b"), worker(4, zone="b"))
    _, actions = held(Observation(0, 0, demand(queued=4), group(here)), 300)
    assert of(actions, Terminate) == [Terminate(("i-04", "i-03", "i-02"))]


def test_what_was_told_to_end_is_not_ended_twice_while_aws_still_shows_it() -> None:
    observed = Observation(0, 0, demand(queued=4), group(workers(3)))
    state, actions = held(observed, POOL.cooldown)
    assert of(actions, Terminate) == [Terminate(("i-03", "i-02"))]
    now = POOL.cooldown
    state, actions = step(POOL, state, replace(observed, now=now + CYCLE))
    assert not of(actions, Terminate), "the same view: it is late"
    going = (worker(1), worker(2, "Terminating:Wait"), worker(3, "Terminating:Wait"))
    _, actions = step(POOL, state, replace(observed, now=now + 2 * CYCLE, group=group(going, desired=1)))
    assert note(actions).kind is Kind.HOLD


def test_what_did_not_end_is_told_again_after_a_minute() -> None:
    observed = Observation(0, 0, demand(), group(workers(1)))
    state, actions = held(observed, POOL.cooldown)
    assert of(actions, Terminate)
    state, actions = held(replace(observed, now=POOL.cooldown + CYCLE), 40, state=state)
    assert not of(actions, Terminate)
    _, actions = step(POOL, state, replace(observed, now=POOL.cooldown + 60))
    assert of(actions, Terminate)


def test_busy_ones_are_protected_at_once_and_idle_ones_unprotected_after_a_minute() -> None:
    here = (worker(1), worker(2, protected=True))
    observed = Observation(0, 0, demand(0, w1=1), group(here, least=2))
    state, actions = step(POOL, State(), observed)
    assert of(actions, Protect) == [Protect(("i-01",))]
    assert not of(actions, Unprotect)
    _, actions = held(replace(observed, now=CYCLE), SETTLED - CYCLE, state=state)
    assert of(actions, Unprotect) == [Unprotect(("i-02",))]


def test_one_that_ends_is_not_unprotected_first() -> None:
    here = (replace(worker(1), protected=True),)
    _, actions = held(Observation(0, 0, demand(), group(here)), POOL.cooldown)
    assert of(actions, Terminate)
    assert not of(actions, Unprotect)


def test_what_is_not_known_changes_nothing() -> None:
    state, _ = held(Observation(0, 0, demand(0, w1=1), group(workers(2))), 400)
    for observed in (
        Observation(500, 0, None, group(workers(2))),
        Observation(500, 0, demand(90), None),
        Observation(500, 0, None, None),
    ):
        after, actions = step(POOL, state, observed)
        assert after == state
        assert [type(action) for action in actions] == [Note]
        assert note(actions).kind is Kind.UNKNOWN


def test_machines_beyond_a_limit_count_as_full() -> None:
    busy = Observation(0, 0, demand(0, w1=2), group(workers(1)), cpu=95)
    state, actions = step(POOL, State(), busy)
    assert actions[0] == ScaleOut(2)
    assert "CPU is at 95 %" in note(actions).reason
    two = replace(busy, now=CYCLE, group=group(workers(2)))
    state, actions = held(two, GUARD_EVERY - 2 * CYCLE, state=state)
    assert not of(actions, ScaleOut), "once in two minutes"
    _, actions = step(POOL, state, replace(two, now=GUARD_EVERY))
    assert actions[0] == ScaleOut(3)


def test_the_guard_waits_for_workers_that_are_still_launching() -> None:
    here = (worker(1), worker(2, "Pending"))
    _, actions = step(POOL, State(), Observation(0, 0, demand(0, w1=2), group(here), memory=99))
    assert not of(actions, ScaleOut)


def test_the_guard_never_goes_beyond_the_maximum() -> None:
    _, actions = step(POOL, State(), Observation(0, 0, demand(0, w1=2), group(workers(1), most=1), cpu=95))
    assert not of(actions, ScaleOut)


def test_machines_beyond_a_limit_keep_every_worker() -> None:
    _, actions = held(Observation(0, 0, demand(0, w1=1), group(workers(2), most=2), memory=99), 1000)
    assert not of(actions, Terminate)


def test_a_machine_that_is_hot_without_tasks_asks_for_nobody() -> None:
    state, actions = step(POOL, State(), Observation(0, 0, demand(), group(workers(1)), cpu=100))
    assert not of(actions, ScaleOut)
    _, actions = held(Observation(CYCLE, 0, demand(), group(workers(1)), cpu=100), 290, state=state)
    assert of(actions, Terminate)


def test_the_schedule_keeps_workers_and_lets_them_go_after_the_cool_down() -> None:
    hours = Scheduled(frozenset(range(7)), 8 * 60, 9 * 60, "UTC", 2)
    pool = replace(POOL, schedule=(hours,))
    morning = datetime(2026, 11, 20, 8, tzinfo=UTC).timestamp()
    _, actions = step(pool, State(), Observation(0, morning - 1, demand(), group()))
    assert note(actions).kind is Kind.HOLD
    _, actions = step(pool, State(), Observation(0, morning, demand(), group()))
    assert actions[0] == ScaleOut(2)
    _, actions = step(pool, State(), Observation(0, morning, demand(), group(most=1)))
    assert actions[0] == ScaleOut(1), "never beyond the maximum"
    state, actions = held(Observation(0, morning, demand(), group(workers(2))), 3600 - CYCLE, pool)
    assert not of(actions, Terminate)
    state, actions = held(Observation(3600, morning + 3600, demand(), group(workers(2))), 280, pool, state)
    assert not of(actions, Terminate)
    _, actions = step(pool, state, Observation(3900, morning + 3900, demand(), group(workers(2))))
    assert of(actions, Terminate)
