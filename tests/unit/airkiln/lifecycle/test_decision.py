"""What a worker's host does about its end: each case of docs/workers.md."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from airkiln.lifecycle.decision import TERMINATED, decide, reason
from airkiln.lifecycle.model import (
    ClearUnfinished,
    Complete,
    Heartbeat,
    HookReply,
    KillWorkers,
    Mark,
    Note,
    Observation,
    Stage,
    State,
    StopWorkers,
    Unit,
)
from tests.unit.airkiln.lifecycle.world import LIMITS, Worker, World

ABSENT, FAILED, DONE = HookReply.ABSENT, HookReply.FAILED, HookReply.DONE


def test_a_host_in_service_is_left_alone() -> None:
    world = World().run(3600)
    assert world.log == []


def test_a_host_that_its_group_lets_go_is_marked_then_stopped_at_once() -> None:
    world = World(lifecycle=TERMINATED)
    actions = world.turn()
    assert [type(each) for each in actions] == [Mark, Note, StopWorkers, Heartbeat]
    assert actions[2] == StopWorkers((1,))


def test_the_hook_is_completed_when_nothing_runs_any_more_and_not_before() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=100)}).run(300)
    (completed,) = world.at(Complete)
    assert 1100 <= completed <= 1103
    assert world.notes() == ["draining", "drained", "completed"]


def test_while_tasks_run_the_group_is_told_to_wait_every_twenty_seconds() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=200)}).run(200)
    beats = world.at(Heartbeat)
    assert len(beats) == 10
    assert all(later - earlier == 20 for earlier, later in pairwise(beats))


def test_after_the_completion_nothing_more_is_said() -> None:
    world = World(lifecycle=TERMINATED).run(20)
    count = len(world.log)
    world.run(600)
    assert len(world.log) == count


def test_an_instance_on_which_no_worker_ever_ran_is_completed() -> None:
    world = World(lifecycle=TERMINATED, workers={}).run(10)
    assert len(world.at(Complete)) == 1


def test_the_mark_comes_before_the_end_is_believed() -> None:
    world = World(lifecycle=TERMINATED, workers={})
    assert not any(isinstance(each, Complete) for each in world.turn())


def test_a_worker_that_crashes_while_it_drains_leaves_no_hook_hanging() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=1000)})
    world.run(50)
    world.workers[1].end(failed=True)
    world.run(30)
    (cleared,) = world.at(ClearUnfinished)
    (completed,) = world.at(Complete)
    assert cleared < completed <= 1060


def test_what_a_crashed_worker_leaves_is_tried_for_a_minute_and_the_hook_completed_all_the_same() -> None:
    world = World(lifecycle=TERMINATED, clear_replies=[-1] * 100)
    world.workers[1].end(failed=True)
    world.run(120)
    (completed,) = world.at(Complete)
    assert 1055 <= completed <= 1070
    assert len(world.at(ClearUnfinished)) > 5


def test_a_call_that_fails_is_tried_again_after_five_seconds() -> None:
    world = World(
        lifecycle=TERMINATED, workers={1: Worker(busy=60)}, hook_replies=[FAILED, FAILED, DONE]
    ).run(30)
    assert [round(each - 1000) for each in world.at(Heartbeat)] == [0, 6, 12]


def test_a_completion_that_fails_is_tried_until_it_succeeds() -> None:
    world = World(lifecycle=TERMINATED, hook_replies=[DONE, *[FAILED] * 50]).run(400)
    assert len(world.at(Complete)) == 51
    assert world.notes()[-1] == "completed"


def test_a_hook_that_does_not_exist_is_told_once_and_given_up_after_a_minute() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=600)}, hook_replies=[ABSENT] * 100).run(1200)
    assert world.notes() == ["draining", "no-hook", "drained"]
    assert max(world.at(Heartbeat)) <= 1000 + LIMITS.patience + LIMITS.heartbeat
    assert world.at(Complete) == []


def test_an_action_that_aws_knows_only_later_than_the_metadata_is_waited_for() -> None:
    world = World(
        lifecycle=TERMINATED, workers={1: Worker(busy=100)}, hook_replies=[ABSENT, ABSENT, DONE]
    ).run(200)
    assert "no-hook" not in world.notes()
    assert len(world.at(Complete)) == 1


def test_a_spot_notice_stops_at_once_clears_at_45_seconds_and_kills_at_10() -> None:
    world = World(workers={1: Worker(busy=600)}, spot_end=1120.0).run(130)
    assert world.at(StopWorkers)[0] == 1000
    clearings = world.at(ClearUnfinished)
    assert clearings[0] == 1120 - 45
    assert all(later - earlier >= LIMITS.repeat for earlier, later in pairwise(clearings[:-1]))
    assert world.at(KillWorkers) == [1110]
    assert clearings[-1] == 1111, "what the killed ones left behind"
    orders = [each for _, each in world.log if isinstance(each, ClearUnfinished)]
    assert orders[0] == ClearUnfinished((1,), whole=True)


def test_tasks_that_end_in_time_are_not_cleared() -> None:
    world = World(workers={1: Worker(busy=60)}, spot_end=1120.0).run(130)
    assert world.at(ClearUnfinished) == world.at(KillWorkers) == []


def test_without_a_group_a_spot_notice_calls_no_hook() -> None:
    world = World(workers={1: Worker(busy=60)}, lifecycle=None, spot_end=1120.0).run(130)
    assert world.at(Heartbeat) == world.at(Complete) == []


def test_a_spot_notice_in_a_group_that_lets_the_instance_go_completes_the_hook_too() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=600)}, spot_end=1120.0).run(130)
    (completed,) = world.at(Complete)
    assert 1110 < completed < 1120


@pytest.mark.parametrize(("rebalance", "stops"), [(True, 1), (False, 0)])
def test_a_recommendation_drains_where_the_pool_follows_it(rebalance: bool, stops: int) -> None:
    world = World(rebalance=rebalance).run(60)
    assert len(world.at(StopWorkers)) == stops
    assert world.at(Heartbeat) == []


def test_a_stop_that_somebody_else_asked_for_is_cleared_before_systemd_kills_it() -> None:
    world = World(workers={1: Worker(busy=1e9, limit=100, stage=Stage.STOPPING, since=1000.0)}).run(100)
    assert world.at(ClearUnfinished)[0] == 1055
    assert world.at(KillWorkers) == [1090]
    assert world.at(StopWorkers) == world.at(Mark) == []


def test_a_reload_whose_old_generation_outlasts_its_limit_clears_that_one_alone() -> None:
    old = Worker(busy=1e9, limit=100, stage=Stage.STOPPING, since=1000.0)
    world = World(workers={1: old, 2: Worker()}).run(200)
    orders = {each for _, each in world.log if isinstance(each, ClearUnfinished)}
    assert orders == {ClearUnfinished((1,), whole=False)}
    assert {each for _, each in world.log if isinstance(each, KillWorkers)} == {KillWorkers((1,))}
    assert world.workers[2].stage is Stage.RUNNING


def test_a_stop_without_a_limit_has_no_end() -> None:
    world = World(workers={1: Worker(busy=1e9, limit=math.inf, stage=Stage.STOPPING, since=1000.0)}).run(9999)
    assert world.log == []


def test_a_limit_shorter_than_the_clearing_clears_at_once() -> None:
    world = World(workers={1: Worker(busy=1e9, limit=30, stage=Stage.STOPPING, since=1000.0)}).run(40)
    assert world.at(ClearUnfinished)[0] == 1000
    assert world.at(KillWorkers) == [1020]


def test_every_generation_is_stopped_and_one_that_starts_late_too() -> None:
    world = World(
        lifecycle=TERMINATED,
        workers={1: Worker(busy=50, stage=Stage.STOPPING, since=990.0), 2: Worker(busy=50)},
    )
    world.turn()
    world.workers[3] = Worker(busy=50)
    world.run(100)
    stopped = [each.generations for _, each in world.log if isinstance(each, StopWorkers)]
    assert stopped == [(2,), (3,)]
    assert len(world.at(Complete)) == 1


def test_a_stop_that_had_no_effect_is_asked_for_again() -> None:
    observed = Observation(0.0, lifecycle="Terminated", units=(Unit(1, Stage.RUNNING),))
    state, stops = State(), 0
    for second in range(20):
        decision = decide(state, replace(observed, now=float(second)), LIMITS)
        state = decision.state
        stops += sum(isinstance(each, StopWorkers) for each in decision.actions)
    assert stops == 4


def test_a_daemon_that_starts_again_goes_on_with_the_drain() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=200)}).run(100)
    world.restart_daemon()
    world.run(200)
    assert len(world.at(Complete)) == 1
    assert len(world.at(StopWorkers)) == 1


def test_a_daemon_that_starts_again_without_metadata_goes_on_too() -> None:
    world = World(marked="the group ends this instance")
    world.turn()
    assert world.at(StopWorkers) == [1000]


def test_a_persons_drain_is_taken_back_by_removing_the_mark() -> None:
    world = World(marked="asked for by ada").run(10)
    assert world.at(StopWorkers) == [1000]
    world.marked, world.workers = None, {2: Worker()}
    world.run(60)
    assert world.notes() == ["draining", "drained", "working"]
    assert world.state.reason is None


def test_the_most_urgent_reason_is_the_one_that_is_told() -> None:
    seen = Observation(100.0, lifecycle="Terminated", spot_end=190.0, marked="asked for by ada")
    assert reason(seen) == "Spot notice, 90 s left"
    assert reason(replace(seen, spot_end=None)) == "the group ends this instance"
    assert reason(Observation(100.0, lifecycle="InService")) is None


@pytest.mark.parametrize("target", ["InService", "Standby", "Detached", "Warmed:Stopped", None])
def test_only_the_groups_last_state_is_an_end(target: str | None) -> None:
    assert World(lifecycle=target).run(60).log == []
