"""What a reply of the database changes. Pure."""

from __future__ import annotations

from dataclasses import replace

from airkiln.failover import leading, yielding
from airkiln.failover.model import Failure, Operation, Phase, Reply
from airkiln.failover.step import Step
from airkiln.systemd.journal import ERROR, NOTICE, WARNING

REPORT_EVERY = 60.0
"""Seconds between two lines about a database that cannot be reached."""


BESIDE = (
    Operation.PROGRESS,
    Operation.BLOCKING_LOCKS,
    Operation.END_SESSION,
    Operation.CANCEL_SWITCHOVER,
)
"""What a leader asks for between its renewals."""


def absorb(step: Step, reply: Reply) -> None:
    """Take in the reply to the request in flight."""
    step.state = replace(step.state, in_flight=None)
    if reply.failure is not None:
        failed(step, reply, reply.failure)
        return
    operation = reply.request.operation
    if step.state.lost_at is not None and operation in (Operation.POLL, Operation.RENEW):
        step.note("database-back", f"after {step.now - step.state.lost_at:.1f} s", NOTICE)
        step.state = replace(step.state, lost_at=None)
    match operation:
        case Operation.POLL | Operation.RENEW:
            viewed(step, reply)
        case Operation.ACQUIRE:
            acquired(step, reply)
        case Operation.FENCE if step.state.phase is Phase.FENCING:
            fenced(step, reply.number)
        case Operation.ADOPT if step.state.phase is Phase.ADOPTING:
            if reply.number is None:
                leading.adoption_waits(step)
            else:
                leading.open_gate(step, reply.number)
        case Operation.PROGRESS:
            step.state = replace(step.state, unseen=reply.progress is None or reply.progress.locked)
        case Operation.BLOCKING_LOCKS if step.state.phase in (Phase.ADOPTING, Phase.LEADING):
            leading.compare_locks(step, reply.locks)
        case Operation.RELEASE:
            yielding.released(step)
        case _:
            pass  # it has no result, or its phase is over


def failed(step: Step, reply: Reply, failure: Failure) -> None:
    """Go on without a result. Whatever is lost between the grant and the gate gives the grant up."""
    state, operation, now = step.state, reply.request.operation, step.now
    fresh = operation in (Operation.POLL, Operation.RENEW) and state.lost_at is None
    lost_at = now if fresh else state.lost_at
    if fresh or now - state.reported_lost_at >= REPORT_EVERY:
        event = "database-lost" if lost_at else "call-failed"
        step.note(event, f"{operation}: {reply.text}", WARNING)
        state = replace(state, reported_lost_at=now)
    if operation is Operation.ACQUIRE:
        state = replace(state, yield_until=now + step.timings.poll_interval, gave_up_epoch=0)
    if operation is Operation.PROGRESS:
        state = replace(state, unseen=True)
    pause = (step.timings.renew_interval if state.epoch else step.timings.poll_interval) / 2
    view = state.view if state.epoch else None
    # What is asked for beside the lease delays no renewal.
    due_at = min(state.due_at, now + pause) if operation in BESIDE else now + pause
    step.state = replace(state, lost_at=lost_at, due_at=due_at, locks=(), view=view)
    if operation is Operation.ACQUIRE:
        step.back_off()
    if operation is Operation.RELEASE:
        yielding.released(step)
    elif state.phase in (Phase.FENCING, Phase.ADOPTING):
        step.give_up(f"{operation} failed: {reply.text}", WARNING)
    elif failure is Failure.REFUSED and state.phase is Phase.LEADING:
        step.give_up(f"{operation} was refused: {reply.text}", ERROR, release=False)


def viewed(step: Step, reply: Reply) -> None:
    """A poll or a renewal: the lease as it is."""
    view, now = reply.view, step.now
    if view is None:
        return
    renewal = reply.request.operation is Operation.RENEW
    interval = step.timings.renew_interval if renewal else step.timings.poll_interval
    free = view.remaining <= 0
    state = replace(
        step.state,
        view=view,
        view_at=now,
        passed_over=False,
        due_at=step.state.sent_at + interval,
        polls_given_up=0,
        free_since=None if not free else now if step.state.free_since is None else step.state.free_since,
        refused_switchover=None if view.switchover_to is None else step.state.refused_switchover,
    )
    if 0 < state.gave_up_epoch < view.epoch:
        # Another host has led since, so this host need not yield the lease that the other one releases.
        state = replace(state, yield_until=0.0, gave_up_epoch=0)
    if not renewal:
        ours = view.holder == state.holder and not free and not state.epoch
        step.state = replace(state, orphan=view.epoch if ours else 0)
        return
    step.state = state
    if state.epoch != reply.request.epoch or state.phase is Phase.ENDING:
        return
    if reply.done:
        step.state = replace(state, renewed_at=state.sent_at)
    else:
        step.give_up(f"the renewal was refused: the lease is epoch {view.epoch}'s", ERROR, release=False)


def acquired(step: Step, reply: Reply) -> None:
    """An acquisition: an epoch was granted, unless another host was faster or takeovers are paused."""
    sent_at = step.state.sent_at
    if reply.number is None:
        step.state = replace(step.state, view=None, due_at=step.now + step.timings.renew_interval / 2)
        return
    step.state = replace(
        step.state,
        phase=Phase.FENCING,
        epoch=reply.number,
        renewed_at=sent_at,
        due_at=sent_at + step.timings.renew_interval,
        empty_fences=0,
        view=None,  # it is from before the grant: its request is met
        fence_at=step.now,
        adopt_at=step.now,
        adoption_waits=False,
        locks=(),
        free_since=None,
    )
    step.note("granted", "ends the sessions of older epochs", NOTICE)


def fenced(step: Step, sessions: int | None) -> None:
    """A fence: two in a row that find no session end the fencing."""
    empty = step.state.empty_fences + 1 if sessions == 0 else 0
    step.state = replace(
        step.state,
        empty_fences=empty,
        fence_at=step.now + step.timings.fence_interval,
        phase=Phase.ADOPTING if empty >= 2 else Phase.FENCING,
    )
