"""Each moment at which the decision about a drain changes, from both sides, in literal seconds."""

from __future__ import annotations

from itertools import pairwise

import pytest

from airkiln.lifecycle.decision import TERMINATED, decide
from airkiln.lifecycle.model import (
    ClearUnfinished,
    Complete,
    Heartbeat,
    HookReply,
    KillWorkers,
    Note,
    Observation,
    Stage,
    State,
    StopWorkers,
    Unit,
)
from tests.unit.airkiln.lifecycle.world import LIMITS, Worker, World

ABSENT, FAILED, DONE = HookReply.ABSENT, HookReply.FAILED, HookReply.DONE


def reasons(world: World) -> list[tuple[str, str]]:
    return [(each.event, each.reason) for _, each in world.log if isinstance(each, Note)]


def test_an_action_that_is_known_for_a_while_is_not_given_up_for_an_absence_before() -> None:
    replies = [ABSENT, DONE, DONE, DONE, ABSENT, DONE]
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=200)}, hook_replies=replies).run(120)
    assert "no-hook" not in world.notes()


@pytest.mark.parametrize(("seconds", "over"), [(58, False), (64, True)])
def test_an_action_that_is_absent_for_60_seconds_is_given_up(seconds: float, over: bool) -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=600)}, hook_replies=[ABSENT] * 100)
    world.run(seconds)
    assert ("no-hook" in world.notes()) is over


def test_a_drain_is_reported_with_its_length() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=100)}).run(300)
    assert reasons(world) == [
        ("draining", "the group ends this instance"),
        ("drained", "nothing runs any more after 100 s"),
        ("completed", "the group may go on with this instance's end"),
    ]


@pytest.mark.parametrize(("before", "words"), [(120.0, "120 s left"), (0.0, "0 s left"), (-5.0, "0 s left")])
def test_a_spot_notice_is_reported_with_the_time_that_is_left(before: float, words: str) -> None:
    world = World(spot_end=1000.0 + before)
    world.turn()
    assert reasons(world)[0] == ("draining", f"Spot notice, {words}")


def test_a_stop_that_had_no_effect_is_requested_again_after_five_seconds() -> None:
    world = World(marked="asked for by ada")
    for _ in range(12):
        world.turn()
        world.workers[1].stage = Stage.RUNNING
    assert [at - 1000 for at in world.at(StopWorkers)] == [0, 5, 10]


def test_generations_are_stopped_cleared_and_killed_in_their_order() -> None:
    workers = {3: Worker(busy=600), 1: Worker(busy=600), 2: Worker(stage=Stage.ENDED)}
    world = World(workers=workers, spot_end=1120.0).run(121)
    actions = [each for _, each in world.log]
    assert StopWorkers((1, 3)) in actions
    assert ClearUnfinished((1, 3), whole=True) in actions
    assert KillWorkers((1, 3)) in actions
    assert ("killing", "tasks still run 10 s before the end") in reasons(world)


@pytest.mark.parametrize("limit", [300.0, 600.0])
def test_a_stop_clears_45_seconds_and_kills_10_seconds_before_its_own_limit(limit: float) -> None:
    world = World(workers={1: Worker(busy=9999, limit=limit), 2: Worker()})
    world.workers[1].stop(world.now)
    world.run(limit + 5)
    assert world.at(ClearUnfinished)[0] == 1000 + limit - 45
    assert world.at(KillWorkers) == [1000 + limit - 10]
    first = next(each for _, each in world.log if isinstance(each, ClearUnfinished))
    assert first == ClearUnfinished((1,), whole=False)


def test_on_a_host_that_drains_only_a_clearing_of_all_generations_is_whole() -> None:
    workers = {1: Worker(busy=9999, limit=100.0), 2: Worker(busy=9999, limit=43200.0)}
    world = World(workers=workers, marked="asked for by ada").run(60)
    cleared = [each for _, each in world.log if isinstance(each, ClearUnfinished)]
    assert cleared[0] == ClearUnfinished((1,), whole=False)


def test_a_clearing_begins_4_seconds_after_the_end_of_the_one_before() -> None:
    world = World(workers={1: Worker(busy=600)}, spot_end=1120.0, latency=2.0).run(110)
    assert [at - 1075 for at in world.at(ClearUnfinished)[:3]] == [0, 6, 12]


def test_what_a_failed_generation_left_is_cleared_once_before_the_completion() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=10), 2: Worker()})
    world.workers[2].end(failed=True)
    world.run(60)
    assert [each for _, each in world.log if isinstance(each, ClearUnfinished)] == [
        ClearUnfinished((), whole=True)
    ]
    assert len(world.at(Complete)) == 1
    assert world.at(ClearUnfinished)[0] < world.at(Complete)[0]


@pytest.mark.parametrize(("seconds", "completed"), [(58.0, False), (62.0, True)])
def test_what_cannot_be_cleared_holds_the_completion_back_for_60_seconds(
    seconds: float, completed: bool
) -> None:
    world = World(lifecycle=TERMINATED, clear_replies=[-1] * 100)
    world.workers[1].end(failed=True)
    world.run(1)
    world.run(seconds)
    assert bool(world.at(Complete)) is completed
    cleared = world.at(ClearUnfinished)
    assert all(later - earlier == 5 for earlier, later in pairwise(cleared)), "1 for it, and 4 after it"


def test_a_drain_that_nothing_asks_for_any_more_is_reported_and_forgotten() -> None:
    world = World(marked="asked for by ada", workers={1: Worker(busy=500)}).run(5)
    world.marked = None
    world.run(5)
    assert world.notes()[-1] == "working"
    assert world.state.reason is None


def test_heartbeats_go_on_20_seconds_apart_until_the_completion_and_not_after() -> None:
    world = World(lifecycle=TERMINATED, workers={1: Worker(busy=70)}).run(200)
    assert [at - 1000 for at in world.at(Heartbeat)] == [0, 20, 40, 60]
    assert len(world.at(Complete)) == 1


def test_calls_in_flight_are_remembered_when_a_drain_is_taken_back() -> None:
    """The world asserts that there is one call and one clearing at a time."""
    world = World(lifecycle=TERMINATED, latency=5.0, workers={1: Worker(busy=9999, limit=60.0)}).run(16)
    assert world.at(ClearUnfinished)
    world.lifecycle, world.marked = "InService", None
    world.run(2)
    world.lifecycle = TERMINATED
    world.run(20)
    cleared = world.at(ClearUnfinished)
    assert cleared[1] - cleared[0] == 9, "5 for the clearing in flight, and 4 after it"


def test_a_drain_that_is_asked_for_again_waits_for_the_call_in_flight() -> None:
    """The world asserts that there is one call at a time."""
    world = World(lifecycle=TERMINATED, latency=5.0, workers={1: Worker(busy=9999)}).run(2)
    world.lifecycle, world.marked = "InService", None
    world.run(1)
    world.lifecycle = TERMINATED
    world.run(10)
    assert world.at(Heartbeat)[0] == 1000


def test_a_drain_that_is_taken_back_leaves_the_time_between_two_clearings() -> None:
    world = World(marked="asked for by ada", workers={1: Worker(busy=9999, limit=60.0)}).run(17)
    world.marked = None
    world.run(10)
    first, second = world.at(ClearUnfinished)[:2]
    assert second - first == 5, "1 until its end is observed, and 4 after it"


def test_on_a_host_that_works_generations_that_are_late_are_cleared_in_order_and_not_as_a_whole() -> None:
    stopping = [Unit(number, Stage.STOPPING, 900.0, 120.0) for number in (3, 1)]
    actions = decide(State(), Observation(1000.0, units=tuple(stopping)), LIMITS).actions
    assert actions == (ClearUnfinished((1, 3), whole=False),)


@pytest.mark.parametrize(("left", "words"), [(10.0, "10 s"), (0.5, "0 s"), (-5.0, "0 s")])
def test_a_generation_is_killed_once_though_it_does_not_end(left: float, words: str) -> None:
    unit = Unit(1, Stage.STOPPING, 900.0, 100.0 + left)
    first = decide(State(), Observation(1000.0, units=(unit,)), LIMITS)
    assert KillWorkers((1,)) in first.actions
    note = first.actions[-1]
    assert isinstance(note, Note)
    assert note.reason == f"tasks still run {words} before the end"
    second = decide(first.state, Observation(1001.0, units=(unit,)), LIMITS)
    assert second.actions == ()


def test_of_several_generations_that_are_killed_the_shortest_time_is_reported() -> None:
    units = tuple(Unit(number, Stage.STOPPING, 900.0, 100.0 + left) for number, left in ((1, 9.0), (2, 5.0)))
    actions = decide(State(), Observation(1000.0, units=units), LIMITS).actions
    assert KillWorkers((1, 2)) in actions
    note = actions[-1]
    assert isinstance(note, Note)
    assert note.reason == "tasks still run 5 s before the end"


@pytest.mark.parametrize(("seconds", "drained"), [(59.5, False), (60.0, True)])
def test_a_host_that_cannot_be_marked_is_believed_to_be_drained_after_60_seconds(
    seconds: float, drained: bool
) -> None:
    state = decide(State(), Observation(1000.0, lifecycle=TERMINATED), LIMITS).state
    later = Observation(1000.0 + seconds, lifecycle=TERMINATED, hook=DONE)
    events = [each.event for each in decide(state, later, LIMITS).actions if isinstance(each, Note)]
    assert ("drained" in events) is drained


def test_a_generation_that_starts_after_all_have_ended_is_waited_for() -> None:
    world = World(lifecycle=TERMINATED, hook_replies=[FAILED] * 100).run(20)
    world.workers[2] = Worker(busy=50)
    before = len(world.at(Complete))
    assert before
    world.run(2).run(40)
    assert len(world.at(Complete)) <= before + 1, "one call may have been in flight"
    world.run(30)
    assert world.notes().count("drained") == 2


def test_each_generation_that_fails_is_swept_after() -> None:
    world = World(lifecycle=TERMINATED, hook_replies=[FAILED] * 100)
    world.workers[1].end(failed=True)
    world.run(20)
    swept = len(world.at(ClearUnfinished))
    world.workers[2] = Worker(busy=500)
    world.run(10)
    world.workers[2].end(failed=True)
    world.run(20)
    assert (swept, len(world.at(ClearUnfinished))) == (1, 2)


def test_the_completion_waits_for_a_clearing_in_flight() -> None:
    world = World(lifecycle=TERMINATED, spot_end=1120.0, latency=5.0, workers={1: Worker(busy=76)}).run(100)
    assert world.at(ClearUnfinished) == [1075]
    assert world.at(Complete)[0] >= 1080


def test_generations_are_stopped_in_order_however_they_are_listed() -> None:
    units = (Unit(3, Stage.RUNNING), Unit(1, Stage.RUNNING))
    actions = decide(State(), Observation(1000.0, marked="asked for by ada", units=units), LIMITS).actions
    assert StopWorkers((1, 3)) in actions
