"""Observes the groups and carries actions out, in AWS.

Before each call that changes something, `still_leads` is called: a host that lost the lease stops there, and
its successor decides from what it observes. Each kind of failure is one line in the journal in ten minutes,
and the next cycle decides anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from airkiln.autoscale.amazon import AT_ONCE, Cloud, batches
from airkiln.autoscale.model import Action, Group, Note, Protect, ScaleOut, Terminate, Unprotect
from airkiln.aws.clients import describe_error
from airkiln.errors import AirkilnError
from airkiln.pools.model import group_name
from airkiln.systemd.journal import NOTICE, RateLimit, say

BUDGET = 8.0
"""Seconds that the changes of one cycle may take; the next cycle decides about the rest."""


class Failures:
    """Failures in the journal: each kind once in ten minutes. `clock` is in seconds and only runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = RateLimit(clock=clock)

    def report(self, what: str, reason: str, detail: str = "") -> None:
        """Write a line, unless one of the same kind (up to the reason's first colon) was just written."""
        line = f"event={what}{f' {detail}' if detail else ''} reason={reason}"
        self._limit.say(f"{what} {reason.partition(':')[0]}", line)


@dataclass(frozen=True)
class _Call:
    """One call that changes something."""

    pool: str
    what: str
    detail: str
    make: Callable[[Cloud], None]
    stale: Callable[[Cloud], str] = lambda _: ""
    """Looks, before the lease is checked, whether the call is still right; why not, in words."""
    instances: tuple[str, ...] = ()
    """What it terminates."""


@dataclass(frozen=True)
class Done:
    """What became of the actions of a cycle."""

    leads: bool
    """False where this host no longer leads."""
    not_terminated: frozenset[str]
    """Instances that AWS refused to terminate, or that there was no time for."""


RANKS: Mapping[str, int] = {"scale-out": 0, "protect": 1, "unprotect": 2, "terminate": 3}
"""The order of the calls of all pools. A pool that grows waits for nothing, and a busy worker is protected
before any ends."""


def _in_order(calls: Iterable[_Call]) -> list[_Call]:
    """The calls of all pools: by rank, and within a rank one pool after the other in turns."""
    turns: dict[tuple[str, str], int] = {}
    found: list[tuple[int, int, _Call]] = []
    for call in calls:
        turn = turns[call.pool, call.what] = turns.get((call.pool, call.what), -1) + 1
        found.append((RANKS[call.what], turn, call))
    return [call for *_, call in sorted(found, key=lambda each: each[:2])]


def _calls(pool: str, group: str, actions: Iterable[Action]) -> Iterator[_Call]:
    for action in actions:
        match action:
            case ScaleOut():
                yield _Call(
                    *(pool, "scale-out", f"desired={action.desired}", _scale_out(group, action.desired)),
                    stale=_is_stale(group, action),
                )
            case Terminate():
                for one in action.instances:
                    detail = f"instance={one}"
                    yield _Call(pool, "terminate", detail, _terminate(one), instances=(one,))
            case Protect() | Unprotect():
                protect = isinstance(action, Protect)
                what = "protect" if protect else "unprotect"
                for some in batches(action.instances, AT_ONCE):
                    yield _Call(pool, what, f"instances={','.join(some)}", _protect(group, some, protect))
            case Note():
                pass


def _scale_out(group: str, desired: int) -> Callable[[Cloud], None]:
    return lambda cloud: cloud.set_desired(group, desired)


def _is_stale(group: str, action: ScaleOut) -> Callable[[Cloud], str]:
    """AWS takes an absolute number: one that was decided from another capacity may undo what another leader,
    or a person, has done since."""

    def look(cloud: Cloud) -> str:
        found = cloud.groups([group]).get(group)
        if found is None:
            return "the group does not exist"
        if action.seen not in (None, found.desired) or found.desired >= action.desired:
            return f"the group wants {found.desired} by now"
        return ""

    return look


def _terminate(instance: str) -> Callable[[Cloud], None]:
    return lambda cloud: cloud.terminate(instance)


def _protect(group: str, instances: tuple[str, ...], protected: bool) -> Callable[[Cloud], None]:
    return lambda cloud: cloud.protect(group, instances, protected=protected)


class Lost(Exception):  # noqa: N818 - not an error: another host leads
    """This host no longer leads, or cannot find out."""


class Applier:
    """The groups of one environment."""

    def __init__(
        self,
        environment: str,
        cloud: Cloud,
        still_leads: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.environment = environment
        self._cloud = cloud
        self._still_leads = still_leads
        self.clock = clock
        self.failures = Failures(clock)
        self._addresses: dict[str, str] = {}

    def group(self, pool: str) -> str:
        """The name of a pool's group."""
        return group_name(self.environment, pool)

    def observe(self, pools: Iterable[str]) -> dict[str, Group]:
        """The groups by pool; a pool is missing where its group is unknown."""
        names = {self.group(pool): pool for pool in pools}
        try:
            found = self._cloud.groups(list(names))
        except Exception as error:  # of any kind: reported, and read again in the next cycle
            self.failures.report("groups-unknown", describe_error(error))
            return {}
        for name in names:
            if name not in found:
                self.failures.report("no-group", "the group does not exist: deploy the pool", f"group={name}")
        self._learn([each.id for group in found.values() for each in group.instances])
        return {names[name]: self._with_addresses(group) for name, group in found.items() if name in names}

    def _learn(self, instances: list[str]) -> None:
        """Read the addresses of new instances: an instance keeps its address."""
        self._addresses = {one: self._addresses[one] for one in instances if one in self._addresses}
        new = [one for one in instances if one not in self._addresses]
        if not new:
            return
        try:
            self._addresses |= self._cloud.addresses(new)
        except Exception as error:  # such a worker counts as busy; the pool can scale out all the same
            self.failures.report("addresses-unknown", describe_error(error))

    def _with_addresses(self, group: Group) -> Group:
        known = tuple(replace(each, address=self._addresses.get(each.id)) for each in group.instances)
        return replace(group, instances=known)

    def carry_out(self, decided: Mapping[str, Iterable[Action]], until: float) -> Done:
        """Carry out what was decided about each pool: growth first, then protection, then terminations.

        :param until: the end of the cycle's time, on the clock given.
        """
        calls = _in_order(
            call for pool, actions in decided.items() for call in _calls(pool, self.group(pool), actions)
        )
        open_still = {one for call in calls for one in call.instances}
        leads = True
        try:
            for call in calls:
                if self.clock() >= until:
                    self.failures.report("out-of-time", "AWS answers slowly: the rest is for the next cycle")
                    break
                if self._make(call):
                    open_still -= set(call.instances)
        except Lost as lost:
            say(f"event=stopped reason={lost}", NOTICE)
            leads = False
        return Done(leads, frozenset(open_still))

    def _require(self) -> None:
        try:
            leads = self._still_leads()
        except AirkilnError as error:
            raise Lost(f"it is unknown whether this host leads: {error}") from None
        if not leads:
            raise Lost("this host no longer leads")

    def _make(self, call: _Call) -> bool:
        """Make one call; whether AWS took it."""
        try:
            stale = call.stale(self._cloud)
            if stale:
                self.failures.report(
                    f"{call.what}-stale", f"{stale}: decided anew", f"pool={call.pool} {call.detail}"
                )
                return False
            self._require()
            call.make(self._cloud)
        except Lost:
            raise
        except Exception as error:  # throttled, gone, at a bound: the next cycle decides anew
            self.failures.report(
                f"{call.what}-failed", describe_error(error), f"pool={call.pool} {call.detail}"
            )
            return False
        if call.what == "terminate":
            say(f"event=terminated pool={call.pool} {call.detail} reason=idle and not needed")
        return True
