"""Thousands of lives of two to five hosts, over the real decision.py: one writer at a time, and soon one.

The histories are the same in every run; `make simulate-failover` draws new ones. A failure names its seed:
`history(seed, hosts)` plays it again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airkiln.failover import decision
from airkiln.failover.model import Answer, Phase
from tests.unit.airkiln.failover.committed import Violation
from tests.unit.airkiln.failover.world import World

HISTORIES = int(os.environ.get("AIRKILN_SIMULATION_HISTORIES", "2000"))
SEEDS = st.integers(min_value=0, max_value=2**48)


def history(seed: int, hosts: int, *, faults: int = 12) -> World:
    """One life: misfortunes at any time, then peace, and somebody leads."""
    world = World(seed, hosts)
    world.run(5.0)
    for _ in range(faults):
        world.misfortune()
        world.check()
        world.run(world.now + world.chance.choice([0.01, 0.1, 0.5, 2.0]))
    world.peace()
    until = world.now + 40
    while world.now < until:
        # What began before the peace may still come: a leader whose lease ran out in an outage learns it now.
        if world.settled():
            world.run(world.now + 5)
            if world.settled():
                return world
        world.run(world.now + 1)
    told = [replace(host.state, view=None) for host in world.hosts]
    raise Violation(f"nobody leads for 5 s within 40 s of the last misfortune: {world.database}, {told}")


@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS, hosts=st.integers(min_value=2, max_value=5))
def test_one_writes_at_a_time_and_soon_one_does_whatever_happened(seed: int, hosts: int) -> None:
    history(seed, hosts)


def skip_the_deadline(decisions: Any) -> dict[str, object]:  # noqa: ANN401 - the class under test
    return {"past_deadline": lambda _: False}


def open_before_the_fence(decisions: Any) -> dict[str, object]:  # noqa: ANN401
    real = decisions.acquired

    def acquired(self: Any, answer: Answer) -> None:  # noqa: ANN401
        real(self, answer)
        if answer.number is not None:
            self.set(phase=Phase.ADOPTING)

    return {"acquired": acquired}


def ignore_the_epoch(decisions: Any) -> dict[str, object]:  # noqa: ANN401
    real = decisions.end

    def end(self: Any, reason: str, priority: int, *, release: bool = True) -> None:  # noqa: ANN401
        if release:
            real(self, reason, priority, release=release)
        else:
            self.set(good_at=self.seen.now)

    return {"end": end}


@pytest.mark.parametrize("defect", [skip_the_deadline, open_before_the_fence, ignore_the_epoch])
def test_the_simulation_finds_a_decision_that_is_broken(
    defect: Callable[[Any], dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, replaced in defect(decision._Decision).items():
        monkeypatch.setattr(decision._Decision, name, replaced)
    with pytest.raises(Violation):
        histories(400)


def histories(number: int) -> None:
    for seed in range(number):
        history(seed, 2 + seed % 4)
