"""How many workers a pool has. Pure; see airkiln.decisions.

Invariants, which tests/unit/airkiln/autoscale/test_decision_invariants.py checks over generated histories:

- The desired capacity stays between the group's minimum and maximum, and is never set lower: a scale-in
  terminates idle workers by name.
- A worker with a running task, or with an unknown address, is never terminated.
- No worker is terminated that the demand of the last cool-down needed. A gap between observations begins the
  cool-down anew, and so does a new leader.
- One decision adds at most the pool's `scale_out_step` workers.
- Without demand or group there is no action.
- The time of day matters for the schedule alone.

A queued task may already be with a worker that has not begun it. Such a worker may be terminated: its drain
runs the task first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from airkiln.autoscale.model import (
    IN_SERVICE,
    STAYING,
    Action,
    Demand,
    Group,
    Instance,
    Kind,
    Note,
    Observation,
    Peak,
    Protect,
    ScaleOut,
    State,
    Terminate,
    Unprotect,
)
from airkiln.decisions import Decision
from airkiln.pools.model import Pool

GAP = 60.0
"""Seconds between two observations after which the time between counts as unknown."""
SETTLED = 60.0
"""Seconds in service before a worker may be terminated, and without a task before its protection ends."""
GUARD_EVERY = 120.0
"""Seconds between two workers that CPU or memory add: a new one takes load off only after its boot, and the
figures are those of the minute before."""
LISTED = 60.0
"""Seconds for which AWS may list an instance as staying after it was terminated."""


def decide(state: State, observed: Observation, pool: Pool) -> Decision[State, Action]:
    """One decision about one pool."""
    demand, group = observed.demand, observed.group
    if demand is None or group is None:
        what = "the demand" if demand is None else "the group"
        capacity = group.desired if group is not None else 0
        note = Note(Kind.UNKNOWN, capacity, 0, 0, f"{what} is unknown: capacity stays")
        return Decision(state, (note,))
    staying = [each for each in group.instances if each.lifecycle in STAYING]
    tasks = demand.queued + _running(demand, group, staying)
    capacity = group.desired
    wanted = _bounded(-(-tasks // pool.slots), pool, group, observed.wall)
    pressure = _pressure(pool, observed) if tasks else ""
    relief = bool(pressure) and wanted <= capacity
    if relief:  # full, whatever the slots say
        wanted = max(
            capacity, min(capacity + _guard_is_due(state, observed.now, staying, capacity), group.max)
        )
    state = _remember(pool, state, observed, staying, wanted)
    protection = _protection(demand, state, observed.now, staying)
    peak = state.peaks[0].wanted
    if wanted > capacity:
        aim = min(wanted, capacity + pool.scale_out_step)
        reason = pressure if relief else f"{tasks} tasks need {wanted} workers"
        if relief:
            state = replace(state, guarded_at=observed.now)
        note = Note(Kind.SCALE_OUT, aim, wanted, peak, reason)
        return Decision(state, (ScaleOut(aim, capacity), *protection, note))
    surplus = _surplus(pool, state, observed, group, peak)
    if surplus > 0 and not pressure:
        chosen = _idle(demand, state, observed.now, staying, surplus)
        if chosen:
            terminated = {**state.terminated, **dict.fromkeys(chosen, observed.now)}
            reason = f"{peak} workers were enough for {pool.cooldown:g} s"
            left = capacity - len(chosen)
            note = Note(Kind.SCALE_IN, left, wanted, peak, reason)
            state = replace(state, terminated=terminated)
            return Decision(state, (Terminate(chosen), *_but(protection, chosen), note))
    reason = pressure or _why_hold(tasks, wanted, capacity, peak, group)
    return Decision(state, (*protection, Note(Kind.HOLD, capacity, wanted, peak, reason)))


def not_terminated(state: State, instances: Iterable[str]) -> State:
    """The state after AWS refused to terminate these, or there was no time to ask: workers as before.

    The next decision may choose them again, and protects those that have a task by then.
    """
    refused = set(instances)
    if not refused & state.terminated.keys():
        return state
    return replace(state, terminated={one: at for one, at in state.terminated.items() if one not in refused})


def missing(group: Group) -> int:
    """Workers that the group wants and that do not serve: they start, or cannot be had."""
    serving = sum(each.lifecycle == IN_SERVICE for each in group.instances)
    return max(0, group.desired - serving)


def _running(demand: Demand, group: Group, staying: Iterable[Instance]) -> int:
    """Tasks that run on workers that stay. Those on other workers end there, and need no worker."""
    running = demand.running
    if not running:
        return 0
    known = [each.address for each in staying]
    found = sum(running.get(address, 0) for address in known if address is not None)
    if None in known:  # whatever runs on no known worker may run there
        everywhere = {each.address for each in group.instances}
        found += sum(count for address, count in running.items() if address not in everywhere)
    return found


def _bounded(wanted: int, pool: Pool, group: Group, wall: float) -> int:
    least = group.min
    if pool.schedule:
        least = max(least, pool.scheduled_min(wall))
    return max(min(max(wanted, least), group.max), group.min)


def _pressure(pool: Pool, observed: Observation) -> str:
    """The limit that the group's machines exceed, in words; nothing where they exceed none."""
    if observed.cpu is not None and observed.cpu > pool.cpu_limit:
        return f"CPU is at {observed.cpu:.0f} %, beyond {pool.cpu_limit:g} %"
    if observed.memory is not None and observed.memory > pool.memory_limit:
        return f"memory is at {observed.memory:.0f} %, beyond {pool.memory_limit:g} %"
    return ""


def _guard_is_due(state: State, now: float, staying: Iterable[Instance], capacity: int) -> bool:
    """Whether CPU or memory may add a worker: not while one that was just added is still starting."""
    if sum(each.lifecycle == IN_SERVICE for each in staying) < capacity:
        return False
    return state.guarded_at is None or now - state.guarded_at >= GUARD_EVERY


def _remember(pool: Pool, state: State, observed: Observation, staying: list[Instance], wanted: int) -> State:
    now = observed.now
    since = state.known_since
    if since is None or now - state.observed_at > GAP:
        since = now
    serving = [each for each in staying if each.lifecycle == IN_SERVICE]
    running: Mapping[str, int] = observed.demand.running if observed.demand is not None else {}
    served = {each.id: state.served_since.get(each.id, now) for each in serving}
    busy = {
        each.id: now if each.address is None or running.get(each.address) else state.busy_at[each.id]
        for each in serving
        if each.address is None or running.get(each.address) or each.id in state.busy_at
    }
    terminated = state.terminated
    if terminated:
        here = {each.id for each in staying}
        terminated = {one: at for one, at in terminated.items() if one in here and now - at < LISTED}
    return State(
        known_since=since,
        observed_at=now,
        peaks=_peaks(state.peaks, now, wanted, pool.cooldown),
        guarded_at=state.guarded_at,
        served_since=served,
        busy_at=busy,
        terminated=terminated,
    )


def _peaks(peaks: tuple[Peak, ...], now: float, wanted: int, cooldown: float) -> tuple[Peak, ...]:
    """The window of the last cool-down, of which only what nothing later has reached is kept."""
    first, last = 0, len(peaks)
    while first < last and peaks[first].at < now - cooldown:
        first += 1
    while last > first and peaks[last - 1].wanted <= wanted:
        last -= 1
    return (*peaks[first:last], Peak(now, wanted))


def _surplus(pool: Pool, state: State, observed: Observation, group: Group, peak: int) -> int:
    """How many workers were not needed within the whole cool-down."""
    if state.known_since is None or observed.now - state.known_since < pool.cooldown:
        return 0
    return group.desired - len(state.terminated) - max(peak, group.min)


def _idle(
    demand: Demand, state: State, now: float, staying: Iterable[Instance], count: int
) -> tuple[str, ...]:
    """At most `count` workers to terminate, each from the zone that has most, the newest first."""
    zones: dict[str, int] = {}
    for each in staying:
        zones[each.zone] = zones.get(each.zone, 0) + 1
    left = [
        each
        for each in staying
        if each.lifecycle == IN_SERVICE
        and each.address is not None
        and not demand.running.get(each.address)
        and each.id not in state.terminated
        and now - state.served_since[each.id] >= SETTLED
    ]
    chosen: list[str] = []
    while left and len(chosen) < count:
        best = max(left, key=lambda each: (zones[each.zone], state.served_since[each.id], each.id))
        left.remove(best)
        zones[best.zone] -= 1
        chosen.append(best.id)
    return tuple(chosen)


def _protection(
    demand: Demand, state: State, now: float, staying: Iterable[Instance]
) -> tuple[Protect | Unprotect, ...]:
    """Busy workers are protected; one that has been idle for a while is not."""
    bare: list[str] = []
    covered: list[str] = []
    for each in staying:
        if each.lifecycle != IN_SERVICE or each.id in state.terminated:
            continue
        if each.address is None or demand.running.get(each.address):
            if not each.protected:
                bare.append(each.id)
        elif each.protected and now - state.busy_at.get(each.id, state.served_since[each.id]) >= SETTLED:
            covered.append(each.id)
    actions: list[Protect | Unprotect] = []
    if bare:
        actions.append(Protect(tuple(bare)))
    if covered:
        actions.append(Unprotect(tuple(covered)))
    return tuple(actions)


def _but(actions: Iterable[Protect | Unprotect], ending: tuple[str, ...]) -> tuple[Protect | Unprotect, ...]:
    """Without the instances that are terminated anyway."""
    kept = [
        replace(action, instances=tuple(one for one in action.instances if one not in ending))
        for action in actions
    ]
    return tuple(action for action in kept if action.instances)


def _why_hold(tasks: int, wanted: int, capacity: int, peak: int, group: Group) -> str:
    if wanted == group.max and capacity >= group.max:
        return f"{tasks} tasks, and the pool is at its maximum"
    if capacity > max(peak, group.min):
        return "more than is wanted, within the cool-down or with no idle worker"
    if capacity > wanted:
        return "the cool-down"
    return "as many as are wanted"
