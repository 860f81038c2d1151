"""How many workers a pool has: pure, from what is seen and what is remembered to what is done.

Invariants, which tests/unit/airkiln/autoscale/test_decision_invariants.py holds over invented histories:

- Desired capacity never goes below the group's minimum nor above its maximum, and is never set lower: fewer
  workers come of ending idle ones by name.
- A worker with a running task is never ended, nor one whose address is not known.
- Nothing ends while the demand of the last cool-down asked for it. A gap in what is seen begins the cool-down
  anew, and so does a new leader.
- One step adds at most the pool's `growth`.
- What is not known changes nothing: without demand or group there is no action.
- The wall clock decides about the schedule alone.

A queued task may have been taken by a worker and not have begun. Such a worker can be told to end, and no
harm is done: its drain runs the task first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from airkiln.autoscale.model import (
    IN_SERVICE,
    STAYING,
    Action,
    Demand,
    End,
    Group,
    Grow,
    Instance,
    Kind,
    Note,
    Peak,
    Protect,
    Seen,
    State,
    Unprotect,
)
from airkiln.pools.model import Pool

GAP = 60.0
"""Seconds between two looks after which what lay between counts as unknown."""
SETTLED = 60.0
"""Seconds in service before a worker ends, and without a task before it loses its protection."""
GUARD_EVERY = 120.0
"""Seconds between two workers that CPU or memory add: a new one takes load off only after its boot, and the
figures are those of the minute before."""
UNSEEN = 60.0
"""Seconds for which AWS may show an instance as staying after it was told to end it."""

Decided = tuple[State, tuple[Action, ...]]


def decide(pool: Pool, state: State, seen: Seen) -> Decided:
    """One step of one pool: what to remember, and what to do."""
    demand, group = seen.demand, seen.group
    if demand is None or group is None:
        what = "the demand" if demand is None else "the group"
        capacity = group.desired if group is not None else 0
        return state, (Note(Kind.UNKNOWN, capacity, 0, 0, f"{what} is not known: capacity stays"),)
    staying = [each for each in group.instances if each.lifecycle in STAYING]
    tasks = demand.queued + _running(demand, group, staying)
    capacity = group.desired
    wanted = _bounded(-(-tasks // pool.slots), pool, group, seen.wall)
    pressure = _pressure(pool, seen) if tasks else ""
    relief = bool(pressure) and wanted <= capacity
    if relief:  # full, whatever the slots say
        wanted = max(capacity, min(capacity + _guard_is_due(state, seen.now, staying, capacity), group.max))
    state = _remember(pool, state, seen, staying, wanted)
    protection = _protection(demand, state, seen.now, staying)
    peak = state.peaks[0].wanted
    if wanted > capacity:
        aim = min(wanted, capacity + pool.growth)
        reason = pressure if relief else f"{tasks} tasks ask for {wanted} workers"
        if relief:
            state = replace(state, guarded_at=seen.now)
        return state, (Grow(aim), *protection, Note(Kind.GROW, aim, wanted, peak, reason))
    surplus = _surplus(pool, state, seen, group, peak)
    if surplus > 0 and not pressure:
        chosen = _idle(demand, state, seen.now, staying, surplus)
        if chosen:
            ended = {**state.ended, **dict.fromkeys(chosen, seen.now)}
            reason = f"{peak} workers were enough for {pool.cooldown:g} s"
            left = capacity - len(chosen)
            note = Note(Kind.SHRINK, left, wanted, peak, reason)
            return replace(state, ended=ended), (End(chosen), *_but(protection, chosen), note)
    reason = pressure or _why_hold(tasks, wanted, capacity, peak, group)
    return state, (*protection, Note(Kind.HOLD, capacity, wanted, peak, reason))


def _running(demand: Demand, group: Group, staying: Iterable[Instance]) -> int:
    """Tasks that run on workers that stay. What runs on others ends there, and asks for nobody."""
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


def _pressure(pool: Pool, seen: Seen) -> str:
    """Which limit the group's machines are beyond, in words."""
    if seen.cpu is not None and seen.cpu > pool.cpu_limit:
        return f"CPU is at {seen.cpu:.0f} %, beyond {pool.cpu_limit:g} %"
    if seen.memory is not None and seen.memory > pool.memory_limit:
        return f"memory is at {seen.memory:.0f} %, beyond {pool.memory_limit:g} %"
    return ""


def _guard_is_due(state: State, now: float, staying: Iterable[Instance], capacity: int) -> bool:
    """Not while one that was added lately, or for tasks, is still to take its share."""
    if sum(each.lifecycle == IN_SERVICE for each in staying) < capacity:
        return False
    return state.guarded_at is None or now - state.guarded_at >= GUARD_EVERY


def _remember(pool: Pool, state: State, seen: Seen, staying: list[Instance], wanted: int) -> State:
    now = seen.now
    since = state.known_since
    if since is None or now - state.looked_at > GAP:
        since = now
    serving = [each for each in staying if each.lifecycle == IN_SERVICE]
    running: Mapping[str, int] = seen.demand.running if seen.demand is not None else {}
    served = {each.id: state.served_since.get(each.id, now) for each in serving}
    busy = {
        each.id: now if each.address is None or running.get(each.address) else state.busy_at[each.id]
        for each in serving
        if each.address is None or running.get(each.address) or each.id in state.busy_at
    }
    ended = state.ended
    if ended:
        here = {each.id for each in staying}
        ended = {one: at for one, at in ended.items() if one in here and now - at < UNSEEN}
    return State(
        known_since=since,
        looked_at=now,
        peaks=_peaks(state.peaks, now, wanted, pool.cooldown),
        guarded_at=state.guarded_at,
        served_since=served,
        busy_at=busy,
        ended=ended,
    )


def _peaks(peaks: tuple[Peak, ...], now: float, wanted: int, cooldown: float) -> tuple[Peak, ...]:
    """The window of the last cool-down, of which only what nothing later has reached is kept."""
    first, last = 0, len(peaks)
    while first < last and peaks[first].at < now - cooldown:
        first += 1
    while last > first and peaks[last - 1].wanted <= wanted:
        last -= 1
    return (*peaks[first:last], Peak(now, wanted))


def _surplus(pool: Pool, state: State, seen: Seen, group: Group, peak: int) -> int:
    """How many workers the whole cool-down did without."""
    if state.known_since is None or seen.now - state.known_since < pool.cooldown:
        return 0
    return group.desired - len(state.ended) - max(peak, group.min)


def _idle(
    demand: Demand, state: State, now: float, staying: Iterable[Instance], count: int
) -> tuple[str, ...]:
    """At most `count` workers that may end, each from the zone that has most, the newest first."""
    zones: dict[str, int] = {}
    for each in staying:
        zones[each.zone] = zones.get(each.zone, 0) + 1
    left = [
        each
        for each in staying
        if each.lifecycle == IN_SERVICE
        and each.address is not None
        and not demand.running.get(each.address)
        and each.id not in state.ended
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
        if each.lifecycle != IN_SERVICE or each.id in state.ended:
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
    """Without those that end anyway."""
    kept = [
        replace(action, instances=tuple(one for one in action.instances if one not in ending))
        for action in actions
    ]
    return tuple(action for action in kept if action.instances)


def _why_hold(tasks: int, wanted: int, capacity: int, peak: int, group: Group) -> str:
    if wanted == group.max and capacity >= group.max:
        return f"{tasks} tasks, and the pool is at its maximum"
    if capacity > max(peak, group.min):
        return "more than is wanted, within the cool-down or with nobody idle"
    if capacity > wanted:
        return "the cool-down"
    return "as many as are wanted"
