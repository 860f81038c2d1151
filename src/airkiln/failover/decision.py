"""What a failover controller does next: a pure function of what it knows and what it sees.

`step` takes a State, what was Seen (the clock among it) and the Timings; it returns the next State and the
actions to carry out, in order. It reads no clock, opens nothing and never waits. `wake_at` says when it wants
to be asked again if nothing happens.

Invariants, checked after every step of the simulation (tests/unit/airkiln/failover/test_simulation.py):

1. A gate is opened only in an epoch granted to this run of the controller, after `fence` found no session of
   an older epoch twice in a row and `adopt` was answered, all of it over one connection: whatever is lost
   between the grant and the gate gives the grant up, for the next connection may lead to another copy of the
   database.
2. From `deadline` seconds after the last good renewal was *sent*, nothing that this controller let through is
   left alone: it is being killed. The time is counted on CLOCK_BOOTTIME, so it runs on in suspension.
3. A renewal that the database refuses ends the scheduler at once: the epoch has moved on.
4. One call is under way at a time, and one that takes longer than `limit` is given up with its connection;
   a standby's poll has longer after each that was given up, `patience` at most, for nothing runs on it.
   A reply that was lost leaves nothing behind: a lease that the database calls ours and that was never
   granted here is released before another is asked for.
5. The lease is released after what it covered was killed, and has ended or had `kill` seconds to.
6. A healthy scheduler is given up (for a hand-over, or an instance that will end) only if another host is
   ready; nor is an instance reported unhealthy without one, nor while the database is out of reach.

That two schedulers never write at a time does not rest on any of this, nor on any clock, but on the database:
an epoch's role can no longer write once the next one was granted (see docs/failover.md).
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from airkiln.failover.config import Timings
from airkiln.failover.model import (
    Abandon,
    Action,
    Answer,
    Call,
    Dump,
    Follow,
    HeldLock,
    Kill,
    Leave,
    Note,
    OpenGate,
    Phase,
    ReportUnhealthy,
    Seen,
    State,
    Trouble,
    View,
    What,
)
from airkiln.systemd.journal import ERROR, INFO, NOTICE, WARNING

LOCKS_EVERY = 2.0
"""Seconds between two looks for foreign locks: with renewals 2.5 statements a second at rest."""
TELL_EVERY = 60.0
"""Seconds between two lines of a database that is out of reach."""
UNHEALTHY_AFTER = 2
"""Times stuck, within `forget`, until the instance counts as unhealthy."""


def step(state: State, seen: Seen, timings: Timings) -> tuple[State, tuple[Action, ...]]:
    """One decision. Call it again at `wake_at`, and whenever something happened."""
    decision = _Decision(state, seen, timings)
    decision.run()
    return decision.state, tuple(decision.actions)


def wake_at(state: State, timings: Timings) -> float:
    """When `step` must be called again even if nothing happens, on the clock of `Seen.now`."""
    times = [state.sent_at + state.limit(timings)] if state.under_way else []
    if not state.under_way and state.phase is not Phase.ENDING:
        times.append(state.due_at)
    if state.epoch and state.phase is not Phase.ENDING:
        times.append(state.good_at + timings.deadline)
    if state.phase is Phase.FENCING and not state.under_way:
        times.append(state.fence_at)
    if state.phase is Phase.ENDING and state.running is not None:
        times.append(state.ended_at + timings.kill)
    if state.phase is Phase.STANDBY and not state.under_way and not state.considered:
        times.append(_free_at(state))
    if state.dumped_at is not None:
        times.append(state.dumped_at + timings.dump)
    return min(times, default=state.ended_at)


def _free_at(state: State) -> float:
    if state.view is None:
        return inf
    return max(state.view_at + state.view.remaining, state.yield_until if state.view.standbys else 0.0)


class _Decision:
    """One step."""

    def __init__(self, state: State, seen: Seen, timings: Timings) -> None:
        self.state = state
        self.seen = seen
        self.timings = timings
        self.actions: list[Action] = []

    def run(self) -> None:
        limit = self.state.limit(self.timings)
        if self.seen.answer is not None:
            self.absorb(self.seen.answer)
        elif (call := self.state.under_way) and self.seen.now - self.state.sent_at >= limit:
            self.actions.append(Abandon())
            if call.what is What.POLL and limit < self.timings.patience:
                self.set(unanswered=self.state.unanswered + 1)
            self.absorb(Answer(call, trouble=Trouble.UNAVAILABLE, text=f"no answer within {limit:g} s"))
        if self.seen.notified:
            self.set(due_at=self.seen.now)
        if self.past_deadline():
            self.end(f"no renewal for {self.timings.deadline:g} s", WARNING)
        if self.state.phase in (Phase.FENCING, Phase.ADOPTING, Phase.LEADING):
            self.lead()
        if self.state.phase is Phase.ENDING:
            self.finish()
        if self.state.phase is Phase.STANDBY:
            self.stand_by()

    # What the database answered

    def absorb(self, answer: Answer) -> None:
        self.set(under_way=None)
        if answer.trouble is not None:
            self.fail(answer)
            return
        if self.state.lost_at is not None and answer.call.what in (What.POLL, What.RENEW):
            self.note("database-back", f"after {self.seen.now - self.state.lost_at:.1f} s", NOTICE)
            self.set(lost_at=None)
        match answer.call.what:
            case What.POLL | What.RENEW:
                self.viewed(answer)
            case What.ACQUIRE:
                self.acquired(answer)
            case What.FENCE if self.state.phase is Phase.FENCING:
                self.set(zeros=self.state.zeros + 1 if answer.number == 0 else 0)
                self.set(fence_at=self.seen.now + self.timings.dead)
                if self.state.zeros >= 2:
                    self.set(phase=Phase.ADOPTING)
            case What.ADOPT if self.state.phase is Phase.ADOPTING:
                self.open(answer.number or 0)
            case What.FOREIGN_LOCKS if self.state.phase is Phase.LEADING:
                self.compare(answer)
            case What.RELEASE:
                self.released()
            case _:
                pass

    def fail(self, answer: Answer) -> None:
        what, now = answer.call.what, self.seen.now
        fresh = what in (What.POLL, What.RENEW) and self.state.lost_at is None
        if fresh:
            self.set(lost_at=now)
        if fresh or now - self.state.told_lost_at >= TELL_EVERY:
            self.note(
                "database-lost" if self.state.lost_at else "call-failed", f"{what}: {answer.text}", WARNING
            )
            self.set(told_lost_at=now)
        if what is What.ACQUIRE:
            self.set(yield_until=now + self.timings.poll)
        pause = (self.timings.renew if self.state.epoch else self.timings.poll) / 2
        self.set(due_at=now + pause, foreign=(), view=self.state.view if self.state.epoch else None)
        if what is What.RELEASE:
            self.released()
        elif self.state.phase in (Phase.FENCING, Phase.ADOPTING):
            self.end(f"{what} failed: {answer.text}", WARNING)
        elif answer.trouble is Trouble.REFUSED and self.state.phase is Phase.LEADING:
            self.end(f"{what} was refused: {answer.text}", ERROR, release=False)

    def viewed(self, answer: Answer) -> None:
        view, now = answer.view, self.seen.now
        if view is None:
            return
        interval = self.timings.renew if answer.call.what is What.RENEW else self.timings.poll
        self.set(view=view, view_at=now, considered=False, due_at=self.state.sent_at + interval, unanswered=0)
        free = self.state.free_since if view.remaining <= 0 else None
        self.set(free_since=now if view.remaining <= 0 and free is None else free)
        if view.hand_over_to is None:
            self.set(refused_request=None)
        if answer.call.what is What.POLL:
            ours = view.holder == self.state.holder and view.remaining > 0 and not self.state.epoch
            self.set(orphan=view.epoch if ours else 0)
        elif self.state.epoch == answer.call.epoch and self.state.phase is not Phase.ENDING:
            if answer.good:
                self.set(good_at=self.state.sent_at)
            else:
                self.end(f"the renewal was refused: the lease is epoch {view.epoch}'s", ERROR, release=False)

    def acquired(self, answer: Answer) -> None:
        if answer.number is None:  # somebody was faster, or takeovers are paused
            self.set(view=None, due_at=self.seen.now + self.timings.renew / 2)
            return
        self.set(
            phase=Phase.FENCING,
            epoch=answer.number,
            good_at=self.state.sent_at,
            due_at=self.state.sent_at + self.timings.renew,
            zeros=0,
            view=None,  # it says what was before: its request is met
            fence_at=self.seen.now,
            free_since=None,
        )
        self.note("granted", "ends the sessions of older epochs", NOTICE)

    def released(self) -> None:
        self.set(
            phase=Phase.STANDBY, epoch=0, running=None, orphan=0, view=None, due_at=self.seen.now, foreign=()
        )

    # Holding a lease

    def past_deadline(self) -> bool:
        held = self.state.epoch and self.state.phase is not Phase.ENDING
        return bool(held) and self.seen.now - self.state.good_at >= self.timings.deadline

    def lead(self) -> None:
        state, seen, now = self.state, self.seen, self.seen.now
        if state.phase is Phase.LEADING and seen.alive != state.running:
            self.end("the scheduler died", WARNING)
        elif state.phase is not Phase.LEADING and seen.warm is None:
            self.end("the scheduler is gone that waited at the gate", WARNING)
        elif seen.stopping:
            self.end("the controller stops", NOTICE)
        elif state.phase is Phase.LEADING and (reason := self.gives_up()):
            self.end(*reason)
        elif state.under_way is None:
            if now >= state.due_at:
                self.call(Call(What.RENEW, state.epoch, ready=state.ready(seen)))
            elif state.phase is Phase.FENCING and now >= state.fence_at:
                self.call(Call(What.FENCE, state.epoch))
            elif state.phase is Phase.ADOPTING:
                self.call(Call(What.ADOPT, state.epoch))
            elif state.phase is Phase.LEADING:
                self.look_around()

    def open(self, adopted: int) -> None:
        """The way is free: let the scheduler through, if the lease still covers it."""
        if self.seen.warm is None or self.past_deadline() or self.seen.stopping:
            return  # lead() and past_deadline() give it up in this very step
        pid = self.seen.warm
        self.set(
            phase=Phase.LEADING,
            running=pid,
            dumped_at=None,
            foreign=(),
            foreign_at=self.seen.now + LOCKS_EVERY,
            takeovers=self.state.takeovers + 1,
        )
        self.actions += [OpenGate(pid, self.state.epoch), Follow()]
        self.seen = replace(self.seen, warm=None, alive=pid)
        self.note("leads", f"process {pid}, {adopted} dead scheduler jobs marked failed", NOTICE)

    def gives_up(self) -> tuple[str, int] | None:
        """Why a scheduler that runs is given up, with the line's priority."""
        state, view = self.state, self.state.view
        if view is None or view.paused or state.lost_at is not None:
            self.set(dumped_at=None)
            return None
        if self.seen.leaving and view.standbys:
            return f"this instance ends: {self.seen.leaving}", NOTICE
        if (target := view.hand_over_to) and target not in (state.host, state.refused_request):
            if view.standbys:
                return f"hand-over to {'any host' if target == '*' else target} was requested", NOTICE
            self.note("hand-over-refused", "no other host is ready", WARNING)
            self.set(refused_request=target)
        return self.stuck(view)

    def stuck(self, view: View) -> tuple[str, int] | None:
        """A stuck scheduler writes its stacks first, and is given up `dump` seconds later."""
        if self.seen.stuck is None:
            self.set(dumped_at=None)
        elif self.state.dumped_at is None:
            self.note("stuck", f"{self.seen.stuck}: its stacks follow", ERROR)
            self.actions.append(Dump(self.state.running or 0))
            self.set(dumped_at=self.seen.now)
        elif self.seen.now - self.state.dumped_at >= self.timings.dump:
            self.count_failure(view)
            return f"stuck: {self.seen.stuck}", ERROR
        return None

    def count_failure(self, view: View) -> None:
        recent = [at for at in self.state.failures if self.seen.now - at < self.timings.forget]
        failures = (*recent, self.seen.now)
        if len(failures) >= UNHEALTHY_AFTER and view.standbys:
            reason = f"the scheduler was stuck {len(failures)} times in {self.timings.forget:g} s"
            self.actions.append(ReportUnhealthy(reason))
            self.note("unhealthy", reason, ERROR)
            failures = ()
        self.set(failures=failures)

    def look_around(self) -> None:
        """Between two renewals: a request that cannot be met, and other sessions' locks."""
        state, now = self.state, self.seen.now
        view = state.view
        if view is None or state.lost_at is not None:
            return
        if view.hand_over_to is not None and view.hand_over_to in (state.host, state.refused_request):
            self.set(view_at=now, foreign_at=now + LOCKS_EVERY, view=None)
            self.call(Call(What.DROP_REQUEST, state.epoch))
            return
        late = [held for held in state.foreign if now - held.since >= self.timings.foreign]
        if late and not view.paused:
            self.set(foreign=tuple(held for held in state.foreign if held not in late[:1]))
            lock = late[0].lock
            self.note("foreign-lock-ended", f"{lock.text}, held {now - late[0].since:.1f} s", WARNING)
            self.call(Call(What.END_SESSION, state.epoch, pid=lock.pid, transaction=lock.transaction))
        elif now >= state.foreign_at:
            self.set(foreign_at=now + LOCKS_EVERY)
            self.call(Call(What.FOREIGN_LOCKS, state.epoch))

    def compare(self, answer: Answer) -> None:
        """A lock seen twice is held, not passing: named once, and ended past its limit by look_around."""
        before = {(held.lock.pid, held.lock.transaction): held for held in self.state.foreign}
        kept = []
        for lock in answer.locks:
            held = before.get((lock.pid, lock.transaction))
            if held is not None and not held.named:
                self.note("foreign-lock", lock.text, WARNING)
                held = replace(held, named=True)
            kept.append(held or HeldLock(lock, self.state.sent_at))
        self.set(foreign=tuple(kept))

    # Giving it up

    def end(self, reason: str, priority: int, *, release: bool = True) -> None:
        """Kill what was let through; `finish` goes on from there."""
        self.note("gives-up", reason, priority)
        if self.state.running is not None:
            self.actions.append(Kill())
            self.seen = replace(self.seen, killed=False, alive=None, warm=None)
        now = self.seen.now
        self.set(
            phase=Phase.ENDING,
            ending=reason,
            ended_at=now,
            release=release,
            dumped_at=None,
            yield_until=now + self.timings.yielding,
        )

    def finish(self) -> None:
        state = self.state
        if not self.seen.killed:
            if self.seen.now - state.ended_at < self.timings.kill:
                return
            if state.running is not None:
                self.note("not-ended", f"processes are left {self.timings.kill:g} s after the kill", ERROR)
        self.set(running=None)
        if not state.release:
            self.released()
        elif state.under_way is None:
            self.call(Call(What.RELEASE, state.epoch, reason=state.ending))

    # Holding none

    def stand_by(self) -> None:
        state, seen = self.state, self.seen
        if state.under_way is not None:
            return
        if state.orphan:
            self.note("orphan", f"epoch {state.orphan} was granted and its answer lost: released", WARNING)
            self.call(Call(What.RELEASE, state.orphan, reason="its grant was never received"))
        elif seen.stopping:
            if not state.left:
                self.set(left=True)
                self.actions.append(Leave())
        elif self.may_acquire():
            self.call(Call(What.ACQUIRE))
        elif seen.now >= state.due_at:
            self.call(Call(What.POLL, ready=state.ready(seen)))
        elif seen.now >= _free_at(state):
            self.set(considered=True)  # free, and not for us: no timer, but what happens next may change it

    def may_acquire(self) -> bool:
        state, seen, view = self.state, self.seen, self.state.view
        if view is None or view.paused or seen.warm is None or not seen.killed:
            return False
        if seen.now < _free_at(state):
            return False
        if seen.leaving and view.standbys:
            return False
        wanted = view.hand_over_to
        if wanted in (None, "*", state.host) or not view.standbys:
            return True
        return state.free_since is not None and seen.now - state.free_since >= self.timings.poll

    def call(self, call: Call) -> None:
        self.actions.append(call)
        self.set(under_way=call, sent_at=self.seen.now)

    def note(self, event: str, reason: str, priority: int = INFO) -> None:
        self.actions.append(Note(event, self.state.epoch, reason, priority))

    def set(self, **changes: Any) -> None:  # noqa: ANN401 - of State's fields, which replace() knows
        self.state = replace(self.state, **changes)
