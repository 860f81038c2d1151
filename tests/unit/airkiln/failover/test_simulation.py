"""Thousands of lives of two to five hosts, over the real decision.py: one writer at a time, and soon one.

The histories are the same in every run; `make simulate-failover` draws new ones. A failure names its seed:
`history(seed, hosts)` plays it again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airkiln.failover import replies
from airkiln.failover.model import Phase, Reply
from airkiln.failover.step import Step
from tests.unit.airkiln.failover.committed import T, Violation
from tests.unit.airkiln.failover.world import World

HISTORIES = int(os.environ.get("AIRKILN_SIMULATION_HISTORIES", "2000"))
SEEDS = st.integers(min_value=0, max_value=2**48)


def history(seed: int, hosts: int, *, faults: int = 12) -> World:
    """One life: misfortunes at any time, then peace, and somebody leads."""
    world = World(seed, hosts)
    world.run(5.0)
    for _ in range(faults):
        world.misfortune()
        world.check()
        world.run(world.now + world.chance.choice([0.01, 0.1, 0.5, 2.0]))
    world.peace()
    until = world.now + 40
    while world.now < until:
        # What began before the peace may still come: a leader whose lease ran out in an outage learns it now.
        if world.settled():
            world.run(world.now + 5)
            if world.settled():
                return world
        world.run(world.now + 1)
    told = [replace(host.state, view=None) for host in world.hosts]
    raise Violation(f"nobody leads for 5 s within 40 s of the last misfortune: {world.database}, {told}")


@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS, hosts=st.integers(min_value=2, max_value=5))
def test_one_writes_at_a_time_and_soon_one_does_whatever_happened(seed: int, hosts: int) -> None:
    history(seed, hosts)


def settled(hosts: int, seed: int = 7) -> World:
    """Hosts of which one leads."""
    world = World(seed, hosts)
    while not world.settled():
        world.run(world.now + 1)
    return world


def leader(world: World) -> str:
    return next(host.name for host in world.hosts if host.process)


@pytest.mark.parametrize("seed", range(20))
def test_a_lease_whose_end_lies_far_ahead_since_the_clock_went_back_is_taken(
    seed: int,
) -> None:
    world = settled(3, seed)
    before = leader(world)
    next(host for host in world.hosts if host.process).frozen = True
    world.skew -= 600
    world.run(world.now + 15)
    leads = [host.name for host in world.hosts if not host.frozen and host.state.phase is Phase.LEADING]
    assert len(leads) == 1
    assert leads != [before]


@pytest.mark.parametrize("seed", range(20))
def test_a_lock_on_the_table_of_jobs_costs_no_leader_its_lease(seed: int) -> None:
    world = settled(3, seed)
    epoch = world.database.epoch
    world.database.paused = True  # so that the lock stays
    world.job_locked = True
    world.run(world.now + 60)
    assert world.settled()
    assert world.database.epoch == epoch
    assert world.job_locked


@pytest.mark.parametrize("seed", range(20))
def test_who_locks_the_table_of_jobs_is_ended_before_it_keeps_anybody_from_leading(seed: int) -> None:
    world = World(seed, 2)
    world.job_locked = True
    world.run(world.now + 30)
    assert world.settled()


@pytest.mark.parametrize("seed", range(20))
def test_takeovers_that_fail_take_few_epochs_and_soon_one_succeeds(seed: int) -> None:
    world = World(seed, 2)
    world.takeovers_fail = True
    world.run(world.now + 6)
    assert 2 <= world.database.epoch <= 10
    world.run(world.now + 60)
    assert world.database.epoch <= 40
    world.takeovers_fail = False
    # The longest back-off on the slowest clock.
    world.run(world.now + 25)
    assert world.settled()


@pytest.mark.parametrize("seed", range(20))
def test_a_leader_that_alone_is_cut_off_from_the_broker_is_followed_by_a_host_that_is_not(seed: int) -> None:
    world = settled(3, seed)
    before = leader(world)
    other = next(host.name for host in world.hosts if host.name != before)
    world.cut_off = {before, other}
    # The limit and the questions to the broker, on the slowest clock.
    world.run(world.now + 2 * (T.broker_timeout + 20))
    assert world.settled()
    assert leader(world) not in world.cut_off
    epoch = world.database.epoch
    world.run(world.now + 300)
    assert (world.settled(), world.database.epoch) == (True, epoch)


@pytest.mark.parametrize("seed", range(10))
def test_a_broker_that_is_down_for_all_moves_no_lead_neither_when_it_goes_nor_when_it_comes_back(
    seed: int,
) -> None:
    world = settled(3, seed)
    before, epoch = leader(world), world.database.epoch
    for _ in range(3):
        world.broker_down = True
        world.run(world.now + world.chance.uniform(30, 400))
        world.broker_down = False
        world.run(world.now + world.chance.uniform(5, 100))
        assert world.settled()
        assert (leader(world), world.database.epoch) == (before, epoch)


@pytest.mark.parametrize("seed", range(20))
def test_while_paused_a_host_that_is_cut_off_from_the_broker_keeps_the_lead_and_takes_it_again(
    seed: int,
) -> None:
    world = settled(3, seed)
    before = leader(world)
    world.ask("paused", True)
    world.cut_off = {before}
    world.run(world.now + 2 * (T.broker_timeout + 20))
    assert leader(world) == before
    next(host for host in world.hosts if host.name == before).scheduler_dies()
    world.run(world.now + 30)
    assert world.settled()
    assert leader(world) == before


@pytest.mark.parametrize("seed", range(20))
def test_where_no_host_reaches_the_broker_a_dead_leader_is_followed_all_the_same(seed: int) -> None:
    world = settled(3, seed)
    world.broker_down = True
    world.run(world.now + 60)
    next(host for host in world.hosts if host.process).frozen = True
    world.run(world.now + 30)
    assert [host.state.phase for host in world.hosts if not host.frozen].count(Phase.LEADING) == 1


@pytest.mark.parametrize("seed", range(20))
def test_while_paused_a_restart_of_the_database_leaves_the_lead_where_it_was(seed: int) -> None:
    world = settled(3, seed)
    before = leader(world)
    world.ask("paused", True)
    world.run(world.now + 2)
    world.outage(5)
    world.run(world.now + 30)
    assert world.settled()
    assert leader(world) == before


@pytest.mark.parametrize("seed", range(20))
def test_while_paused_a_leader_whose_instance_ends_leads_again_and_no_longer_than_the_pause(
    seed: int,
) -> None:
    world = settled(3, seed)
    before = leader(world)
    world.run(world.now + 10)
    world.ask("paused", True)
    world.run(world.now + 2)
    host = next(host for host in world.hosts if host.name == before)
    world.leave(host, ends=True)
    host.scheduler_dies()
    world.run(world.now + 60)
    assert world.settled()
    assert leader(world) == before
    world.ask("paused", False)
    world.run(world.now + 20)
    assert world.settled()
    assert leader(world) != before


def skip_the_deadline(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "past_deadline", lambda _: False)


def open_before_the_fence(patch: pytest.MonkeyPatch) -> None:
    real = replies.acquired

    def acquired(step: Step, reply: Reply) -> None:
        real(step, reply)
        if reply.number is not None:
            step.state = replace(step.state, phase=Phase.ADOPTING)

    patch.setattr(replies, "acquired", acquired)


def ignore_the_epoch(patch: pytest.MonkeyPatch) -> None:
    real = Step.give_up

    def give_up(step: Step, reason: str, priority: int, *, release: bool = True) -> None:
        if release:
            real(step, reason, priority, release=release)
        else:
            step.state = replace(step.state, renewed_at=step.now)

    patch.setattr(Step, "give_up", give_up)


@pytest.mark.parametrize("defect", [skip_the_deadline, open_before_the_fence, ignore_the_epoch])
def test_the_simulation_finds_a_decision_that_is_broken(
    defect: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    defect(monkeypatch)
    with pytest.raises(Violation):
        histories(400)


def histories(number: int) -> None:
    for seed in range(number):
        history(seed, 2 + seed % 4)
