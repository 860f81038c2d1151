"""Scenarios with a shortened limit: the reason in the leader's journal decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.faults.schedulers import Inject
from rehearsal.chaos.scenario import Outcome
from rehearsal.chaos.scenarios import limits
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import Host

SAYS = {"scheduler_loops": "although it computes", "broker_cut_off": "cut off from the broker"}
SECONDS = {"scheduler_loops": {"hung_timeout": 20.0}, "broker_cut_off": {"broker_timeout": 24.0}}


@pytest.mark.parametrize("name", SAYS)
@pytest.mark.parametrize("said", [*SAYS.values(), ""])
def test_a_leader_that_gave_up_for_another_reason_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    (scenario,) = (each for each in limits.SCENARIOS if each.name == name)
    leader = cast("Host", SimpleNamespace(name="i-1", journal=lambda *_, **__: f"reason={said} for 30 s"))
    given: list[Mapping[str, float]] = []

    @contextmanager
    def timed(_: Cluster, seconds: Mapping[str, float]) -> Iterator[None]:
        given.append(seconds)
        yield

    @contextmanager
    def nothing(_: Cluster, __: Host) -> Iterator[float]:
        yield 0.0

    def take_over(bench: Bench, inject: Inject) -> Outcome:
        with inject(bench.cluster, leader):
            return Outcome(1.0, [])

    monkeypatch.setattr(limits, "timed", timed)
    monkeypatch.setattr(limits, "take_over", take_over)
    bench = cast("Bench", SimpleNamespace(cluster=None))
    body = scenario.body
    outcome = limits._limited(bench, nothing, body.keywords["seconds"], body.keywords["says"])  # type: ignore[attr-defined]
    assert given == [SECONDS[name]]
    assert bool(outcome.problems) == (said != SAYS[name])
