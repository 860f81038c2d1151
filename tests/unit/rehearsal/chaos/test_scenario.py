"""Scenarios: what they need, their seeds, and what a failure says."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenario import Need, Outcome, Scenario, require_no_problems
from rehearsal.chaos.scenarios import draining
from rehearsal.chaos.scenarios.registry import SCENARIOS, TOPICS
from rehearsal.deployment.cluster import Cluster
from rehearsal.errors import RehearsalError


def a_bench(seed: int | None = 7, **cluster: Any) -> Bench:  # noqa: ANN401 - attributes of a cluster
    values = {"controllers": True, "schedulers": [1, 2], "worker": 1} | cluster
    return Bench(cast("Cluster", SimpleNamespace(**values)), cast("Observer", None), seed)


def a_scenario(body: Callable[[Bench], Outcome], *needs: Need) -> Scenario:
    return Scenario("trial", "A trial.", body, needs=frozenset(needs))


def drawn(bench: Bench) -> Outcome:
    return Outcome(0.0, [], bench.random.random())


def test_no_two_scenarios_have_one_name() -> None:
    assert len(SCENARIOS) == sum(map(len, TOPICS.values()))


def test_every_drain_of_the_benchmark_is_a_scenario() -> None:
    assert draining.FAULTS.keys() <= SCENARIOS.keys()


def test_a_scenario_with_a_worker_group_says_how_large_it_is() -> None:
    for scenario in SCENARIOS.values():
        assert (Need.WORKER_GROUP in scenario.needs) == (scenario.group is not None), scenario.name


@pytest.mark.parametrize(
    ("need", "cluster"),
    [
        (Need.CONTROLLERS, {"controllers": False}),
        (Need.NO_CONTROLLERS, {"controllers": True}),
        (Need.STANDBY, {"schedulers": [1]}),
        (Need.OWN_WORKER, {"worker": None}),
        (Need.NO_OWN_WORKER, {"worker": 1}),
    ],
)
def test_what_a_cluster_lacks_is_named(need: Need, cluster: dict[str, Any]) -> None:
    with pytest.raises(RehearsalError, match=f"trial needs {need.value}"):
        a_scenario(drawn, need).run(a_bench(**cluster))


def test_the_same_seed_makes_the_same_choices_and_the_next_scenario_others() -> None:
    one, other = a_bench(), a_bench()
    first = [a_scenario(drawn).run(one) for _ in range(2)]
    again = [a_scenario(drawn).run(other) for _ in range(2)]
    assert [each.seconds for each in first] == [each.seconds for each in again]
    assert first[0].seconds != first[1].seconds
    assert first[0].seed == 7
    alone = a_scenario(drawn).run(a_bench(first[1].seed))
    assert alone.seconds == first[1].seconds


def test_a_failure_says_how_to_repeat_it() -> None:
    def fails(_: Bench) -> Outcome:
        raise RehearsalError("nothing was queued")

    with pytest.raises(RehearsalError, match="nothing was queued") as raised:
        a_scenario(fails).run(a_bench())
    assert raised.value.__notes__ == ["To repeat it: AIRKILN_SEED=7 python -m rehearsal scenario run trial"]


def test_a_database_that_is_away_is_an_error_of_the_rehearsal() -> None:
    def fails(_: Bench) -> Outcome:
        raise psycopg.OperationalError("the connection is closed")

    with pytest.raises(RehearsalError, match="the connection is closed") as raised:
        a_scenario(fails).run(a_bench())
    assert "AIRKILN_SEED=7" in raised.value.__notes__[0]


def test_problems_are_shown_with_the_seed() -> None:
    outcome = a_scenario(lambda _: Outcome(0.0, ["run step[0]: failed"])).run(a_bench())
    with pytest.raises(AssertionError, match=r"(?s)step\[0\]: failed.*AIRKILN_SEED=7"):
        require_no_problems(outcome)
    require_no_problems(a_scenario(drawn).run(a_bench()))
