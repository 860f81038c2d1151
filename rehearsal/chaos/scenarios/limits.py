"""Faults that a controller bears for a minute or longer, with its limit at the shortest that it accepts.

The figure of each is the time from the fault to the next task instance queued, as in `takeover`. The journal
of the host that led must name the limit, because another one may end the scheduler too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.faults import threads
from rehearsal.chaos.faults.network import cut_off_from_broker
from rehearsal.chaos.faults.schedulers import Inject
from rehearsal.chaos.faults.timings import timed
from rehearsal.chaos.scenario import Need, Outcome, Scenario
from rehearsal.chaos.scenarios.takeover import take_over
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import CONTROLLER_UNIT, Host

HUNG, BROKER = 20.0, 24.0
"""Seconds: the least that the rules of failover.toml allow at its other defaults."""
NOTICED = 10.0
"""Seconds by which the reaction to a lost broker may exceed its limit (docs/failover.md)."""
DUMPED = 5.0
"""Seconds for the stacks of a scheduler that hangs, and for the takeover."""


def _limited(bench: Bench, inject: Inject, seconds: dict[str, float], says: str) -> Outcome:
    led: list[Host] = []

    @contextmanager
    def into(cluster: Cluster, leader: Host) -> Iterator[float]:
        led.append(leader)
        with inject(cluster, leader) as at:
            yield at

    with timed(bench.cluster, seconds):
        outcome = take_over(bench, into)
        (leader,) = led
        said = leader.journal(f"--since=@{outcome.began:.0f}", f"--unit={CONTROLLER_UNIT}", lines=10_000)
    if says not in said:
        outcome.problems.append(f"the controller of {leader.name} did not give up because of: {says}")
    return outcome


_NEEDS = frozenset({Need.CONTROLLERS, Need.STANDBY, Need.OWN_WORKER})
SCENARIOS = (
    Scenario(
        "scheduler_loops",
        f"The scheduler's main thread computes without end; hung_timeout is {HUNG:g} s.",
        partial(
            _limited,
            inject=threads.send(threads.LOOP),
            seconds={"hung_timeout": HUNG},
            says="although it computes",
        ),
        HUNG + DUMPED,
        _NEEDS,
    ),
    Scenario(
        "broker_cut_off",
        f"The leader alone is cut off from its broker; broker_timeout is {BROKER:g} s.",
        partial(
            _limited,
            inject=cut_off_from_broker,
            seconds={"broker_timeout": BROKER},
            says="cut off from the broker",
        ),
        BROKER + NOTICED,
        _NEEDS,
    ),
)
