"""What a worker's host does about its end. Pure: one look in, the next state and the actions out.

What always holds (tests/unit/airkiln/lifecycle/test_decision.py):

1. No generation is stopped unless this host is to end, or somebody asked for it.
2. The lifecycle action is completed only when nothing runs on a host that is marked as draining (or could not
   be marked for `patience` seconds); a worker that crashed counts as ended.
3. While something runs, AWS is told every `heartbeat` seconds to wait, until it says that nothing waits.
4. After the action is completed or known to be absent, AWS is told nothing more.
5. Task instances are cleared only in the last `clear` seconds of what runs them, or when it has failed on a
   host that leaves.
6. A generation is killed only in the last `kill` seconds before its end, and once.

An end is the Spot notice's moment, or the moment at which systemd's limit for a stop is reached, whoever
asked for the stop: a person, a shutdown, a reload.
"""

from __future__ import annotations

import math
from dataclasses import replace

from airkiln.lifecycle.model import (
    Action,
    ClearUnfinished,
    Complete,
    Heartbeat,
    HookAnswer,
    KillWorkers,
    Limits,
    Mark,
    Note,
    Seen,
    Stage,
    State,
    StopWorkers,
    Told,
    Unit,
)
from airkiln.systemd.journal import WARNING

TERMINATED = "Terminated"
"""The value of autoscaling/target-lifecycle-state from the moment that the group lets an instance go."""


def step(state: State, seen: Seen, limits: Limits) -> tuple[State, list[Action]]:
    """The state after this look, and what to do now, in order."""
    actions: list[Action] = []
    state = _answered(state, seen, limits, actions)
    state = _reasoned(state, seen, actions)
    state = _stopped(state, seen, limits, actions)
    state = _ending(state, seen, limits, actions)
    state = _ended(state, seen, limits, actions)
    return _told(state, seen, limits, actions), actions


def reason(seen: Seen) -> str | None:
    """Why the host is to drain; None if it is not."""
    if seen.spot_end is not None:
        return f"Spot notice, {max(0.0, seen.spot_end - seen.now):.0f} s left"
    if seen.target == TERMINATED:
        return "the group ends this instance"
    if seen.rebalance:
        return "AWS recommends to rebalance, and the pool follows"
    return seen.marked


def _answered(state: State, seen: Seen, limits: Limits, actions: list[Action]) -> State:
    """Take in what calls that ended have brought."""
    if seen.cleared is not None:
        swept = seen.cleared >= 0 and state.ended_at is not None
        state = replace(state, clearing=False, clear_at=seen.now + limits.repeat, swept=swept)
    if seen.hook is None:
        return state
    told, state = state.calling, replace(state, calling=None)
    if seen.hook is HookAnswer.DONE:
        if told is not Told.COMPLETE:
            return replace(state, absent_since=None)
        actions.append(Note("completed", "the group may go on with this instance's end"))
        return replace(state, hook_over=True)
    state = replace(state, beat_at=0.0, retry_at=seen.now + limits.again)
    if seen.hook is HookAnswer.FAILED:
        return state
    since = seen.now if state.absent_since is None else state.absent_since
    if seen.now - since < limits.patience:
        return replace(state, absent_since=since)
    actions.append(
        Note("no-hook", "no lifecycle action waits for this instance: it is told no more", WARNING)
    )
    return replace(state, absent_since=since, hook_over=True)


def _reasoned(state: State, seen: Seen, actions: list[Action]) -> State:
    why = reason(seen)
    if why is None:
        if state.reason is None:
            return state
        actions.append(Note("working", "nothing asks for a drain any more"))
        return State(clearing=state.clearing, clear_at=state.clear_at, calling=state.calling)
    if seen.marked is None:
        actions.append(Mark(why))
    if state.reason is None:
        actions.append(Note("draining", why))
        return replace(state, reason=why, began=seen.now)
    return state


def _stopped(state: State, seen: Seen, limits: Limits, actions: list[Action]) -> State:
    running = _generations(seen, Stage.RUNNING)
    if state.reason is None or not running or seen.now < state.stop_at:
        return state
    actions.append(StopWorkers(running))
    return replace(state, stop_at=seen.now + limits.again)


def _ending(state: State, seen: Seen, limits: Limits, actions: list[Action]) -> State:
    """Clear, and then kill, what does not end in time."""
    running = [unit for unit in seen.units if unit.stage is not Stage.ENDED]
    left = {unit.generation: end_of(unit, seen) - seen.now for unit in running}
    late = tuple(sorted(each for each, seconds in left.items() if seconds <= limits.clear))
    if late and not state.clearing and seen.now >= state.clear_at:
        actions.append(ClearUnfinished(late, whole=state.reason is not None and len(late) == len(left)))
        state = replace(state, clearing=True)
    kill = tuple(each for each in late if left[each] <= limits.kill and each not in state.killed)
    if kill:
        actions.append(KillWorkers(kill))
        seconds = max(0.0, min(left[each] for each in kill))
        actions.append(Note("killing", f"tasks still run {seconds:.0f} s before the end", WARNING))
    return replace(state, killed=(state.killed & left.keys()) | frozenset(kill))


def _ended(state: State, seen: Seen, limits: Limits, actions: list[Action]) -> State:
    """When nothing runs any more on a host that drains."""
    unsure = seen.marked is None and seen.now - state.began < limits.patience
    if state.reason is None or unsure or not _nothing_runs(seen):
        return replace(state, ended_at=None, swept=False)
    if state.ended_at is None:
        actions.append(Note("drained", f"nothing runs any more after {seen.now - state.began:.0f} s"))
        state = replace(state, ended_at=seen.now, clear_at=seen.now)
    if _to_sweep(state, seen, limits) and not state.clearing and seen.now >= state.clear_at:
        actions.append(ClearUnfinished((), whole=True))
        state = replace(state, clearing=True)
    return state


def _told(state: State, seen: Seen, limits: Limits, actions: list[Action]) -> State:
    """Tell AWS to wait, or to go on."""
    if seen.target != TERMINATED or state.hook_over or state.calling is not None:
        return state
    over = state.ended_at is not None and not state.clearing and not _to_sweep(state, seen, limits)
    if seen.now < (state.retry_at if over else max(state.retry_at, state.beat_at)):
        return state
    actions.append(Complete() if over else Heartbeat())
    told = Told.COMPLETE if over else Told.HEARTBEAT
    return replace(state, calling=told, beat_at=seen.now + limits.heartbeat)


def end_of(unit: Unit, seen: Seen) -> float:
    """When a generation is gone, whatever it runs; infinite where nothing says so."""
    return min(
        math.inf if unit.end is None else unit.end, math.inf if seen.spot_end is None else seen.spot_end
    )


def _to_sweep(state: State, seen: Seen, limits: Limits) -> bool:
    """Whether something may be left behind, and is still worth the time."""
    if state.ended_at is None or state.swept or not any(unit.failed for unit in seen.units):
        return False
    return seen.now - state.ended_at < limits.patience


def _nothing_runs(seen: Seen) -> bool:
    return all(unit.stage is Stage.ENDED for unit in seen.units)


def _generations(seen: Seen, stage: Stage) -> tuple[int, ...]:
    return tuple(sorted(unit.generation for unit in seen.units if unit.stage is stage))
