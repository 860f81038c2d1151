"""Observes the groups and carries actions out, in AWS.

Before each call that changes something, `still_leads` is called: a host that lost the lease stops there, and
its successor decides from what it observes. Each kind of failure is one line in the journal in ten minutes,
and the next cycle decides anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
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


def _calls(pool: str, group: str, actions: Iterable[Action]) -> Iterator[_Call]:
    for action in actions:
        match action:
            case ScaleOut():
                yield _Call(pool, "scale-out", f"desired={action.desired}", _scale_out(group, action.desired))
            case Terminate():
                for one in action.instances:
                    yield _Call(pool, "terminate", f"instance={one}", _terminate(one))
            case Protect() | Unprotect():
                protect = isinstance(action, Protect)
                what = "protect" if protect else "unprotect"
                for some in batches(action.instances, AT_ONCE):
                    yield _Call(pool, what, f"instances={','.join(some)}", _protect(group, some, protect))
            case Note():
                pass


def _scale_out(group: str, desired: int) -> Callable[[Cloud], None]:
    return lambda cloud: cloud.set_desired(group, desired)


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

    def carry_out(self, pool: str, actions: Iterable[Action], until: float) -> bool:
        """Carry out what was decided; False where this host no longer leads.

        :param until: the end of the cycle's time, on the clock given.
        """
        try:
            for call in _calls(pool, self.group(pool), actions):
                if self.clock() >= until:
                    self.failures.report("out-of-time", "AWS answers slowly: the rest is for the next cycle")
                    return True
                self._require()
                self._make(call)
        except Lost as lost:
            say(f"event=stopped pool={pool} reason={lost}", NOTICE)
            return False
        return True

    def _require(self) -> None:
        try:
            leads = self._still_leads()
        except AirkilnError as error:
            raise Lost(f"it is unknown whether this host leads: {error}") from None
        if not leads:
            raise Lost("this host no longer leads")

    def _make(self, call: _Call) -> None:
        try:
            call.make(self._cloud)
        except Exception as error:  # throttled, gone, at a bound: the next cycle decides anew
            self.failures.report(
                f"{call.what}-failed", describe_error(error), f"pool={call.pool} {call.detail}"
            )
        else:
            if call.what == "terminate":
                say(f"event=terminated pool={call.pool} {call.detail} reason=idle and not needed")
