"""What a worker's host does about its end. Pure; see airkiln.decisions.

Invariants, which tests/unit/airkiln/lifecycle/test_decision.py holds:

1. No generation is stopped unless this host is to end, or a person has requested it.
2. The lifecycle action is completed only when nothing runs on a host that is marked as draining (or could not
   be marked for `patience` seconds). A worker that crashed counts as ended.
3. While something runs, the lifecycle action is extended every `heartbeat` seconds, until AWS says that none
   is active.
4. After the action is completed, or known to be absent, no call about it is made.
5. Task instances are cleared only in the last `clear` seconds of what runs them, or when it has failed on a
   host that is about to end.
6. A generation is killed only in the last `kill` seconds before its end, and once.

The end of a generation is the moment of the Spot notice, or the moment at which systemd's limit for a stop is
reached, whatever requested the stop: a person, a shutdown, a reload.
"""

from __future__ import annotations

import math
from dataclasses import replace

from airkiln.decisions import Decision
from airkiln.lifecycle.model import (
    Action,
    ClearUnfinished,
    Complete,
    Heartbeat,
    HookCall,
    HookReply,
    KillWorkers,
    Limits,
    Mark,
    Note,
    Observation,
    Stage,
    State,
    StopWorkers,
    Unit,
)
from airkiln.systemd.journal import WARNING

TERMINATED = "Terminated"
"""The value of autoscaling/target-lifecycle-state from the moment that the group lets an instance go."""


def decide(state: State, observed: Observation, limits: Limits) -> Decision[State, Action]:
    """The state after this observation, and what to do now, in order."""
    actions: list[Action] = []
    state = _take_replies(state, observed, limits, actions)
    state = _find_reason(state, observed, actions)
    state = _stop(state, observed, limits, actions)
    state = _clear_and_kill(state, observed, limits, actions)
    state = _notice_the_end(state, observed, limits, actions)
    state = _call_hook(state, observed, limits, actions)
    return Decision(state, tuple(actions))


def reason(observed: Observation) -> str | None:
    """Why the host is to drain; None if it is not to."""
    if observed.spot_end is not None:
        return f"Spot notice, {max(0.0, observed.spot_end - observed.now):.0f} s left"
    if observed.lifecycle == TERMINATED:
        return "the group ends this instance"
    if observed.rebalance:
        return "AWS recommends to rebalance, and the pool follows"
    return observed.marked


def _take_replies(state: State, observed: Observation, limits: Limits, actions: list[Action]) -> State:
    """Take in the results of calls that have ended."""
    if observed.cleared is not None:
        swept = observed.cleared >= 0 and state.ended_at is not None
        state = replace(state, clearing=False, clear_at=observed.now + limits.repeat, swept=swept)
    if observed.hook is None:
        return state
    made, state = state.calling, replace(state, calling=None)
    if observed.hook is HookReply.DONE:
        if made is not HookCall.COMPLETE:
            return replace(state, absent_since=None)
        actions.append(Note("completed", "the group may go on with this instance's end"))
        return replace(state, hook_over=True)
    state = replace(state, beat_at=0.0, retry_at=observed.now + limits.again)
    if observed.hook is HookReply.FAILED:
        return state
    since = observed.now if state.absent_since is None else state.absent_since
    if observed.now - since < limits.patience:
        return replace(state, absent_since=since)
    actions.append(
        Note("no-hook", "no lifecycle action waits for this instance: no more calls are made", WARNING)
    )
    return replace(state, absent_since=since, hook_over=True)


def _find_reason(state: State, observed: Observation, actions: list[Action]) -> State:
    why = reason(observed)
    if why is None:
        if state.reason is None:
            return state
        actions.append(Note("working", "the reason for the drain is gone"))
        return State(clearing=state.clearing, clear_at=state.clear_at, calling=state.calling)
    if observed.marked is None:
        actions.append(Mark(why))
    if state.reason is None:
        actions.append(Note("draining", why))
        return replace(state, reason=why, began=observed.now)
    return state


def _stop(state: State, observed: Observation, limits: Limits, actions: list[Action]) -> State:
    running = _generations(observed, Stage.RUNNING)
    if state.reason is None or not running or observed.now < state.stop_at:
        return state
    actions.append(StopWorkers(running))
    return replace(state, stop_at=observed.now + limits.again)


def _clear_and_kill(state: State, observed: Observation, limits: Limits, actions: list[Action]) -> State:
    """Clear, and then kill, what does not end in time."""
    running = [unit for unit in observed.units if unit.stage is not Stage.ENDED]
    left = {unit.generation: end_of(unit, observed) - observed.now for unit in running}
    late = tuple(sorted(each for each, seconds in left.items() if seconds <= limits.clear))
    if late and not state.clearing and observed.now >= state.clear_at:
        actions.append(ClearUnfinished(late, whole=state.reason is not None and len(late) == len(left)))
        state = replace(state, clearing=True)
    kill = tuple(each for each in late if left[each] <= limits.kill and each not in state.killed)
    if kill:
        actions.append(KillWorkers(kill))
        seconds = max(0.0, min(left[each] for each in kill))
        actions.append(Note("killing", f"tasks still run {seconds:.0f} s before the end", WARNING))
    return replace(state, killed=(state.killed & left.keys()) | frozenset(kill))


def _notice_the_end(state: State, observed: Observation, limits: Limits, actions: list[Action]) -> State:
    """Notice that nothing runs any more on a host that drains, and clear what a failed worker left."""
    unsure = observed.marked is None and observed.now - state.began < limits.patience
    if state.reason is None or unsure or not _nothing_runs(observed):
        return replace(state, ended_at=None, swept=False)
    if state.ended_at is None:
        actions.append(Note("drained", f"nothing runs any more after {observed.now - state.began:.0f} s"))
        state = replace(state, ended_at=observed.now, clear_at=observed.now)
    if _to_sweep(state, observed, limits) and not state.clearing and observed.now >= state.clear_at:
        actions.append(ClearUnfinished((), whole=True))
        state = replace(state, clearing=True)
    return state


def _call_hook(state: State, observed: Observation, limits: Limits, actions: list[Action]) -> State:
    """Extend the lifecycle action, or complete it."""
    if observed.lifecycle != TERMINATED or state.hook_over or state.calling is not None:
        return state
    over = state.ended_at is not None and not state.clearing and not _to_sweep(state, observed, limits)
    if observed.now < (state.retry_at if over else max(state.retry_at, state.beat_at)):
        return state
    actions.append(Complete() if over else Heartbeat())
    call = HookCall.COMPLETE if over else HookCall.HEARTBEAT
    return replace(state, calling=call, beat_at=observed.now + limits.heartbeat)


def end_of(unit: Unit, observed: Observation) -> float:
    """When a generation is gone, whatever it runs; infinite where nothing says so."""
    ends = (unit.end, observed.spot_end)
    return min((end for end in ends if end is not None), default=math.inf)


def _to_sweep(state: State, observed: Observation, limits: Limits) -> bool:
    """Whether something may be left behind, and is still worth the time."""
    if state.ended_at is None or state.swept or not any(unit.failed for unit in observed.units):
        return False
    return observed.now - state.ended_at < limits.patience


def _nothing_runs(observed: Observation) -> bool:
    return all(unit.stage is Stage.ENDED for unit in observed.units)


def _generations(observed: Observation, stage: Stage) -> tuple[int, ...]:
    return tuple(sorted(unit.generation for unit in observed.units if unit.stage is stage))
