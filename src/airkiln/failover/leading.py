"""A host that holds the lease: it fences, adopts, opens the gate, renews, and watches its scheduler. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airkiln.failover.model import (
    BlockingLock,
    DumpStacks,
    LeaseView,
    ObservedLock,
    OpenGate,
    Operation,
    Phase,
    ReportUnhealthy,
    Request,
    StartFollowers,
)
from airkiln.failover.step import Step
from airkiln.systemd.journal import ERROR, NOTICE, WARNING

LOCKS_EVERY = 2.0
"""Seconds between two questions for blocking locks."""
LOCKS_SOON = 0.2
"""Seconds between two questions after the session of a worker was ended for its lock."""
PROGRESS_EVERY = 2.0
"""Seconds between two questions for the scheduler's progress: as often as its heartbeat by default, and three
statements a second in all, at rest."""
ADOPT_EVERY = 0.2
"""Seconds between two adoptions, while somebody's lock on the table of jobs is in the way."""
UNHEALTHY_AFTER = 2
"""Times stuck, within the failure window, until the instance counts as unhealthy."""


def lead(step: Step) -> None:
    """Give the lease up where there is a reason; otherwise send what is due."""
    state, observed = step.state, step.observed
    if state.phase is Phase.LEADING and observed.alive != state.running:
        step.give_up("the scheduler died", WARNING)
    elif state.phase is not Phase.LEADING and observed.warm is None:
        step.give_up("the scheduler that waited at the gate is gone", WARNING)
    elif observed.stopping:
        step.give_up("the controller stops", NOTICE)
    elif state.phase is Phase.LEADING and (found := reason_to_give_up(step)):
        step.give_up(*found)
    elif state.in_flight is None:
        send_what_is_due(step)


def send_what_is_due(step: Step) -> None:
    """A renewal first; then the next request of the phase."""
    state, now = step.state, step.now
    if now >= state.due_at:
        step.send(Request(Operation.RENEW, state.epoch, ready=state.ready(step.observed)))
    elif state.phase is Phase.FENCING and now >= state.fence_at:
        step.send(Request(Operation.FENCE, state.epoch))
    elif state.phase is Phase.ADOPTING and now >= state.adopt_at:
        step.send(Request(Operation.ADOPT, state.epoch))
    elif state.phase is Phase.ADOPTING:
        watch_locks(step)
    elif state.phase is Phase.LEADING:
        between_renewals(step)


def open_gate(step: Step, adopted: int) -> None:
    """Let the scheduler through, if the lease still covers it.

    :param adopted: dead scheduler jobs that were marked as failed.
    """
    pid = step.observed.warm
    if pid is None or step.past_deadline() or step.observed.stopping:
        return  # the lease is given up in this very step
    step.state = replace(
        step.state,
        phase=Phase.LEADING,
        running=pid,
        cut_off_at=None,
        dumped_at=None,
        locks=(),
        locks_due_at=step.now + LOCKS_EVERY,
        # Between two questions for locks, so that no renewal waits for both.
        progress_due_at=step.now + PROGRESS_EVERY / 2,
        unseen=False,
        failed_takeovers=0,
        takeovers=step.state.takeovers + 1,
    )
    step.actions += [OpenGate(pid, step.state.epoch), StartFollowers()]
    step.observed = replace(step.observed, warm=None, alive=pid)
    step.note("leads", f"process {pid}, {adopted} dead scheduler jobs marked failed", NOTICE)


def reason_to_give_up(step: Step) -> tuple[str, int] | None:
    """Why a running scheduler is given up, with the priority of the line; None if it is not."""
    state, view = step.state, step.state.view
    if view is None or view.paused or state.lost_at is not None:
        step.state = replace(state, dumped_at=None, cut_off_at=None)
        return None
    if step.observed.leaving and view.standbys:
        return f"this instance ends: {step.observed.leaving}", NOTICE
    if (target := view.switchover_to) and target not in (state.host, state.refused_switchover):
        if view.standbys:
            return f"a switchover to {'any host' if target == '*' else target} was requested", NOTICE
        step.note("switchover-refused", "no other host is ready", WARNING)
        step.state = replace(step.state, refused_switchover=target)
    return cut_off(step, view) or stuck(step, view)


def cut_off(step: Step, view: LeaseView) -> tuple[str, int] | None:
    """A leader that alone does not reach the broker is given up: its scheduler can send no task.

    A host is ready only while it reaches the broker. Both must hold for `broker_timeout`, because hosts
    notice at different moments that the broker went away or came back.
    """
    since = step.state.cut_off_at
    if not (step.observed.broker_lost and view.standbys):
        step.state = replace(step.state, cut_off_at=None)
    elif since is None:
        step.state = replace(step.state, cut_off_at=step.now)
    elif step.now - since >= step.timings.broker_timeout:
        return f"cut off from the broker for {step.now - since:.1f} s, and another host is not", WARNING
    return None


def stuck(step: Step, view: LeaseView) -> tuple[str, int] | None:
    """A stuck scheduler first writes its stacks, and is given up `dump_timeout` seconds later."""
    state, reason = step.state, step.observed.stuck
    if reason is None:
        step.state = replace(state, dumped_at=None)
    elif state.dumped_at is None:
        step.note("stuck", f"{reason}: its stacks follow", ERROR)
        step.actions.append(DumpStacks(state.running or 0))
        step.state = replace(state, dumped_at=step.now)
    elif step.now - state.dumped_at >= step.timings.dump_timeout:
        count_failure(step, view)
        return f"stuck: {reason}", ERROR
    return None


def count_failure(step: Step, view: LeaseView) -> None:
    """Remember that the scheduler was stuck; report the instance where it was so repeatedly."""
    window = step.timings.failure_window
    recent = [at for at in step.state.failures if step.now - at < window]
    failures = (*recent, step.now)
    if len(failures) >= UNHEALTHY_AFTER and view.standbys:
        reason = f"the scheduler was stuck {len(failures)} times in {window:g} s"
        step.actions.append(ReportUnhealthy(reason))
        step.note("unhealthy", reason, ERROR)
        failures = ()
    step.state = replace(step.state, failures=failures)


def between_renewals(step: Step) -> None:
    """Cancel a switchover that cannot be, ask for the scheduler's progress, watch the locks."""
    state, now, view = step.state, step.now, step.state.view
    if view is None or state.lost_at is not None:
        return
    if view.switchover_to is not None and view.switchover_to in (state.host, state.refused_switchover):
        step.state = replace(state, view_at=now, locks_due_at=now + LOCKS_EVERY, view=None)
        step.send(Request(Operation.CANCEL_SWITCHOVER, state.epoch))
    elif now >= state.progress_due_at:
        step.state = replace(state, progress_due_at=now + PROGRESS_EVERY)
        step.send(Request(Operation.PROGRESS, state.epoch))
    else:
        watch_locks(step)


def adoption_waits(step: Step) -> None:
    """A lock on the table of jobs is in the way: try again, and see whose it is."""
    if not step.state.adoption_waits:
        step.note("adoption-waits", "another session locks Airflow's table of jobs", WARNING)
        step.state = replace(step.state, adoption_waits=True, locks=(), locks_due_at=step.now)
    step.state = replace(step.state, adopt_at=step.now + ADOPT_EVERY)


def watch_locks(step: Step) -> None:
    """End a session whose lock blocks too long, or ask for locks. Nothing is ended while paused."""
    state, now, view = step.state, step.now, step.state.view
    if view is None or state.lost_at is not None:
        return
    timeout = step.timings.blocking_lock_timeout
    late = [each for each in state.locks if each.lock.at_once or now - each.since >= timeout]
    if late and not view.paused:
        first = late[0]
        left = tuple(each for each in state.locks if each != first)
        # Who takes the lock again is looked for soon.
        step.state = replace(
            state, locks=left, locks_due_at=now + LOCKS_SOON if first.lock.at_once else state.locks_due_at
        )
        step.note("blocking-lock-ended", f"{first.lock.text}, held {now - first.since:.1f} s", WARNING)
        step.send(
            Request(
                Operation.END_SESSION, state.epoch, pid=first.lock.pid, transaction=first.lock.transaction
            )
        )
    elif now >= state.locks_due_at:
        step.state = replace(state, locks_due_at=now + LOCKS_EVERY)
        step.send(Request(Operation.BLOCKING_LOCKS, state.epoch))


def compare_locks(step: Step, locks: Iterable[BlockingLock]) -> None:
    """A lock that is observed twice is held, not passing: it is reported once, and ended when it is late."""
    before = {(each.lock.pid, each.lock.transaction): each for each in step.state.locks}
    found = []
    for lock in locks:
        observed = before.get((lock.pid, lock.transaction))
        if observed is not None and not observed.reported:
            step.note("blocking-lock", lock.text, WARNING)
            observed = replace(observed, reported=True)
        found.append(observed or ObservedLock(lock, step.state.sent_at))
    step.state = replace(step.state, locks=tuple(found))
