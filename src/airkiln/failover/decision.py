"""What a failover controller does next. Pure; see airkiln.decisions.

acquiring.py decides for a standby, leading.py for a host that holds the lease, yielding.py for one that gives
it up, and replies.py takes in what the database replied. `wake_at` says when `decide` must be called again
even if nothing happens.

Invariants, checked after every step of the simulation (tests/unit/airkiln/failover/test_simulation.py):

1. A gate is opened only in an epoch granted to this run of the controller, after `fence` found no session of
   an older epoch twice in a row and `adopt` was carried out, all of it over one connection. Whatever is lost
   between the grant and the gate gives the grant up, because the next connection may lead to another copy of
   the database; the next takeover of that host then waits, twice as long each time.
2. From the self-fence deadline on, counted from when the last successful renewal was *sent*, nothing that
   this controller let through is left alone: it is being killed. The time is counted on CLOCK_BOOTTIME, so it
   runs on while the machine is suspended.
3. A renewal that the database refuses ends the scheduler at once: the epoch has moved on.
4. One request is in flight at a time, and one that exceeds its call timeout is given up with its connection.
   A standby's poll has longer after each that was given up, `poll_timeout_max` at most, because nothing runs
   on it. A reply that was lost leaves nothing behind: a lease that the database calls ours and that was never
   granted here is released before another is requested.
5. The lease is released after what it covered was killed, and has ended or had `kill_timeout` seconds to.
6. A renewal depends on the lease's own tables alone. What is asked for beside it (the scheduler's progress,
   other sessions' locks) may fail and costs no lease.
7. While takeovers are paused, nobody but the host that led last acquires the lease, and no session is ended.
   That host does so even if its instance ends soon, because no other may; once takeovers are allowed again it
   hands over to a host that is ready, as any leader whose instance ends.
8. A healthy scheduler is given up (for a switchover, or an instance that ends soon) only if another host is
   ready. An instance is not reported unhealthy without one either, nor while the database is out of reach.
9. A host that does not reach the broker is not ready. It leads, and goes on leading, only while no other is.

That two schedulers never write at the same time rests on none of this, nor on any clock, but on the database:
the role of an epoch can no longer write once the next one was granted (see docs/failover.md).
"""

from __future__ import annotations

from dataclasses import replace

from airkiln.decisions import Decision
from airkiln.failover import acquiring, leading, replies, yielding
from airkiln.failover.config import Timings
from airkiln.failover.model import (
    Abandon,
    Action,
    Failure,
    Observation,
    Operation,
    Phase,
    Reply,
    State,
)
from airkiln.failover.step import Step
from airkiln.systemd.journal import WARNING


def decide(state: State, observed: Observation, timings: Timings) -> Decision[State, Action]:
    """One decision. Call it again at `wake_at`, and whenever something has happened."""
    step = Step(state, observed, timings)
    _take_reply(step)
    if observed.notified:
        step.state = replace(step.state, due_at=step.now)
    if step.past_deadline():
        step.give_up(f"no renewal for {timings.self_fence_deadline:g} s", WARNING)
    if step.state.phase in (Phase.FENCING, Phase.ADOPTING, Phase.LEADING):
        leading.lead(step)
    if step.state.phase is Phase.ENDING:
        yielding.finish(step)
    if step.state.phase is Phase.STANDBY:
        acquiring.stand_by(step)
    return Decision(step.state, tuple(step.actions))


def _take_reply(step: Step) -> None:
    """The reply that came, or the end of the call timeout."""
    if step.observed.reply is not None:
        replies.absorb(step, step.observed.reply)
        return
    request, timeout = step.state.in_flight, step.state.call_timeout(step.timings)
    if request is None or step.now - step.state.sent_at < timeout:
        return
    step.actions.append(Abandon())
    if request.operation is Operation.POLL and timeout < step.timings.poll_timeout_max:
        step.state = replace(step.state, polls_given_up=step.state.polls_given_up + 1)
    text = f"no reply within {timeout:g} s"
    replies.absorb(step, Reply(request, failure=Failure.UNAVAILABLE, text=text))


def wake_at(state: State, timings: Timings) -> float:
    """When `decide` must be called again even if nothing happens, on the clock of `Observation.now`."""
    times = [state.sent_at + state.call_timeout(timings)] if state.in_flight else []
    if not state.in_flight and state.phase is not Phase.ENDING:
        times.append(state.due_at)
    if state.epoch and state.phase is not Phase.ENDING:
        times.append(state.renewed_at + timings.self_fence_deadline)
    if state.phase is Phase.FENCING and not state.in_flight:
        times.append(state.fence_at)
    if state.phase is Phase.ADOPTING and not state.in_flight:
        times.append(state.adopt_at)
    if state.phase is Phase.ENDING and state.running is not None:
        times.append(state.ended_at + timings.kill_timeout)
    if state.phase is Phase.STANDBY and not state.in_flight and not state.passed_over:
        times.append(acquiring.free_at(state))
    if state.dumped_at is not None:
        times.append(state.dumped_at + timings.dump_timeout)
    return min(times, default=state.ended_at)
