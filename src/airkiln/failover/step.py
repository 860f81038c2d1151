"""One step of the decision while it is being made: the state so far, and the actions so far."""

from __future__ import annotations

from dataclasses import replace

from airkiln.failover.config import Timings
from airkiln.failover.model import Action, Kill, Note, Observation, Phase, Request, State

BACK_OFF, LONGEST_BACK_OFF = 0.5, 8.0
"""Seconds before the next takeover after one that failed: doubled each time, up to the longest."""


class Step:
    """The parts of the decision change `state` and add to `actions`, one after the other."""

    def __init__(self, state: State, observed: Observation, timings: Timings) -> None:
        self.state = state
        self.observed = observed
        self.timings = timings
        self.actions: list[Action] = []

    @property
    def now(self) -> float:
        """The moment of the observation."""
        return self.observed.now

    def past_deadline(self) -> bool:
        """Whether the self-fence deadline has passed without a renewal."""
        if not self.state.epoch or self.state.phase is Phase.ENDING:
            return False
        return self.now - self.state.renewed_at >= self.timings.self_fence_deadline

    def send(self, request: Request) -> None:
        """Send a request; none may be in flight."""
        self.actions.append(request)
        self.state = replace(self.state, in_flight=request, sent_at=self.now)

    def note(self, event: str, reason: str, priority: int) -> None:
        """Write a line to the journal."""
        self.actions.append(Note(event, self.state.epoch, reason, priority))

    def give_up(self, reason: str, priority: int, *, release: bool = True) -> None:
        """Kill what was let through; yielding.py goes on from there.

        :param release: the lease is released then; False where it belongs to another epoch already.
        """
        self.note("gives-up", reason, priority)
        if self.state.phase in (Phase.FENCING, Phase.ADOPTING):
            self.back_off()
        if self.state.running is not None:
            self.actions.append(Kill())
            self.observed = replace(self.observed, killed=False, alive=None, warm=None)
        self.state = replace(
            self.state,
            phase=Phase.ENDING,
            ending=reason,
            ended_at=self.now,
            release=release,
            dumped_at=None,
            yield_until=self.now + self.timings.yield_time,
            gave_up_epoch=self.state.epoch,
        )

    def back_off(self) -> None:
        """A takeover failed: each one takes an epoch, and logins and sessions of all hosts with it."""
        failed = self.state.failed_takeovers + 1
        pause = min(LONGEST_BACK_OFF, BACK_OFF * 2.0 ** min(failed - 1, 10))
        self.state = replace(self.state, failed_takeovers=failed, retry_at=self.now + pause)
