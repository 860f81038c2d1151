"""A host that gives the lease up: what it let through ends first, then the lease is released. Pure."""

from __future__ import annotations

from dataclasses import replace

from airkiln.failover.model import Operation, Phase, Request
from airkiln.failover.step import Step
from airkiln.systemd.journal import ERROR


def finish(step: Step) -> None:
    """Wait until what was killed has ended, `kill_timeout` seconds at most; then release the lease."""
    state = step.state
    if not step.observed.killed:
        if step.now - state.ended_at < step.timings.kill_timeout:
            return
        if state.running is not None:
            reason = f"processes are left {step.timings.kill_timeout:g} s after the kill"
            step.note("not-ended", reason, ERROR)
    step.state = replace(state, running=None)
    if not state.release:
        released(step)
    elif state.in_flight is None:
        step.send(Request(Operation.RELEASE, state.epoch, reason=state.ending))


def released(step: Step) -> None:
    """This host holds nothing any more."""
    step.state = replace(
        step.state,
        phase=Phase.STANDBY,
        epoch=0,
        running=None,
        orphan=0,
        view=None,
        due_at=step.now,
        locks=(),
    )
