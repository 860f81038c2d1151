"""A standby: when it polls, and when it acquires the lease. Pure."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from airkiln.failover.model import Exit, Operation, Request, State
from airkiln.failover.step import Step
from airkiln.systemd.journal import WARNING

WAITING_EVERY = 60.0
"""Seconds without a leader, while takeovers are paused, until the journal says so, and between two lines."""


def free_at(state: State) -> float:
    """When the lease ends as far as this host knows; infinite where it does not know."""
    if state.view is None:
        return inf
    others = state.view.standbys and not state.view.paused
    return max(state.view_at + state.view.remaining, state.yield_until if others else 0.0, state.retry_at)


def led_here(state: State) -> bool:
    """Whether this host led last: while takeovers are paused, it alone may lead again."""
    return state.view is not None and state.view.holder.rpartition("/")[0] == state.host


def another_leads(state: State) -> bool:
    """Whether the lease was another host's when this host looked last."""
    return state.view is not None and state.view.remaining > 0 and not led_here(state)


def stand_by(step: Step) -> None:
    """Release a lease that was granted and never received, exit, acquire, or poll."""
    state, observed = step.state, step.observed
    if state.in_flight is not None:
        return
    say_that_nobody_may_lead(step)
    state = step.state
    if state.orphan:
        step.note("orphan", f"epoch {state.orphan} was granted and its reply lost: released", WARNING)
        step.send(Request(Operation.RELEASE, state.orphan, reason="its grant was never received"))
    elif observed.stopping:
        if not state.exited:
            step.state = replace(state, exited=True)
            step.actions.append(Exit())
    elif may_acquire(step):
        step.send(Request(Operation.ACQUIRE))
    elif observed.now >= state.due_at:
        step.send(Request(Operation.POLL, ready=state.ready(observed)))
    elif observed.now >= free_at(state):
        # Free, and not for this host: no timer is set, but what happens next may change that.
        step.state = replace(state, passed_over=True)


def say_that_nobody_may_lead(step: Step) -> None:
    """While takeovers are paused, a lease that stays free waits for a person: say so, again and again."""
    state, now = step.state, step.now
    if state.view is None or not state.view.paused or state.free_since is None or led_here(state):
        return
    if now - max(state.free_since, state.waiting_reported_at) >= WAITING_EVERY:
        led_last = state.view.holder.rpartition("/")[0] or "no host"
        reason = f"no host leads: takeovers are paused and {led_last} led last: run `airkiln failover resume`"
        step.note("paused", reason, WARNING)
        step.state = replace(state, waiting_reported_at=now)


def may_acquire(step: Step) -> bool:
    """Whether the lease is free, as far as this host knows, and for this host to take."""
    state, observed, view = step.state, step.observed, step.state.view
    if view is None or observed.warm is None or not observed.killed:
        return False
    if view.paused and not led_here(state):
        return False
    if observed.now < free_at(state):
        return False
    if view.standbys and not view.paused and (observed.leaving or observed.broker_lost):
        return False  # for another host; while paused no other may
    wanted = view.switchover_to
    if view.paused or wanted in (None, "*", state.host) or not view.standbys:
        return True
    # Another host is to lead. Where it does not take the lease within a poll, any host may.
    return state.free_since is not None and observed.now - state.free_since >= step.timings.poll_interval
