"""What holds of the decision whatever happens around it: decision.py's list, over histories by chance."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from airkiln.lifecycle.decision import TERMINATED, decide, end_of
from airkiln.lifecycle.model import (
    ClearUnfinished,
    Complete,
    Heartbeat,
    HookReply,
    KillWorkers,
    Mark,
    Stage,
    State,
    StopWorkers,
)
from tests.unit.airkiln.lifecycle.world import LIMITS, Worker, World

answers = st.sampled_from([HookReply.DONE, HookReply.DONE, HookReply.FAILED, HookReply.ABSENT])
events = st.sampled_from(
    ["go", "spot", "rebalance", "mark", "unmark", "stop", "crash", "start", "daemon", "nothing", "nothing"]
)
histories = st.lists(st.tuples(st.integers(1, 90), events), max_size=8)
workers = st.builds(Worker, busy=st.floats(0, 400), limit=st.sampled_from([20.0, 120.0, 43200.0]))


def happen(world: World, event: str) -> None:
    """One event of the outside."""
    match event:
        case "go":
            world.lifecycle = TERMINATED
        case "spot":
            world.spot_end = world.spot_end or world.now + 120
        case "rebalance":
            world.rebalance = True
        case "mark":
            world.marked = world.marked or "asked for by ada"
        case "unmark":
            world.marked = None
        case "stop":
            for worker in world.workers.values():
                worker.stop(world.now)
        case "crash":
            for worker in world.workers.values():
                worker.end(failed=True)
        case "start" if world.marked is None:  # the condition of its unit
            world.workers[max(world.workers, default=0) + 1] = Worker(busy=30)
        case "daemon":
            world.restart_daemon()


@given(
    st.dictionaries(st.integers(1, 3), workers, max_size=3),
    histories,
    st.lists(answers, max_size=40),
    st.lists(st.integers(-1, 3), max_size=20),
    st.floats(0.1, 12),
)
def test_the_invariants_hold(
    generations: dict[int, Worker],
    history: list[tuple[int, str]],
    hook: list[HookReply],
    cleared: list[int],
    latency: float,
) -> None:
    world = World(workers=generations, hook_replies=hook, clear_replies=cleared, latency=latency)
    over = False
    for seconds, event in [(1, "nothing"), *history, (150, "nothing")]:
        happen(world, event)
        for _ in range(seconds):
            over = over and world.state.hook_over
            check(world, over)
            over = over or world.state.hook_over


def check(world: World, over: bool) -> None:
    """One turn, and the invariants of its actions by their numbers in decision.py."""
    now, target, marked = world.now, world.lifecycle, world.marked
    to_end = target == TERMINATED or world.spot_end is not None or world.rebalance or marked is not None
    units = {unit.generation: unit for unit in world.units()}
    seen = world.observe_again()
    left = {
        number: end_of(unit, seen) - now for number, unit in units.items() if unit.stage is not Stage.ENDED
    }
    killed_before = world.state.killed
    for action in world.turn():
        match action:
            case StopWorkers() | Mark():
                assert to_end  # 1
            case Complete():
                assert target == TERMINATED
                assert marked is not None or now - world.state.began >= LIMITS.patience
                assert not left  # 2
                assert not over  # 4
            case Heartbeat():
                assert target == TERMINATED
                assert not over  # 4
            case ClearUnfinished():
                near = action.generations and all(left[each] <= LIMITS.clear for each in action.generations)
                lost = not left and any(unit.failed for unit in units.values()) and to_end
                assert near or lost  # 5
            case KillWorkers():
                assert all(left[each] <= LIMITS.kill for each in action.generations)  # 6
                assert not killed_before & set(action.generations)


@given(workers, st.floats(0.1, 8))
def test_no_gap_between_two_heartbeats_is_longer_than_twenty_seconds_and_a_call(
    worker: Worker, latency: float
) -> None:
    world = World(workers={1: worker}, lifecycle=TERMINATED, latency=latency).run(500)
    told = sorted(world.at(Heartbeat) + world.at(Complete))
    assert all(later - earlier <= LIMITS.heartbeat + 1 for earlier, later in pairwise(told))


@given(histories, st.lists(answers, max_size=20), st.floats(0.1, 12))
def test_a_host_that_is_let_go_always_ends(
    history: list[tuple[int, str]], hook: list[HookReply], latency: float
) -> None:
    world = World(workers={1: Worker(busy=100, limit=300)}, hook_replies=hook, latency=latency)
    for seconds, event in history:
        happen(world, event)
        world.run(seconds)
    world.lifecycle = TERMINATED
    world.run(700)
    assert world.state.hook_over
    assert all(each.stage is Stage.ENDED for each in world.workers.values())


@given(st.floats(-1e9, 1e9), histories)
def test_when_the_machine_began_changes_nothing(shift: float, history: list[tuple[int, str]]) -> None:
    logs = []
    for start in (1000.0, float(round(1e10 + shift))):
        world = World(workers={1: Worker(busy=40, limit=120)}, now=start)
        for seconds, event in history:
            happen(world, event)
            world.run(seconds)
        logs.append([(round(when - start), action) for when, action in world.log])
    assert logs[0] == logs[1]


def test_a_step_is_pure() -> None:
    world = World(lifecycle=TERMINATED)
    seen = world.observe()
    assert decide(State(), seen, LIMITS) == decide(State(), seen, LIMITS)
