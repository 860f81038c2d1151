"""CloudWatch beside the decisions: what is sent, what is asked for, and that its failures stay its own."""

from __future__ import annotations

import pytest

from airkiln.autoscale.amazon import Usage
from airkiln.autoscale.figures import USAGE_LIFE, Figures, metrics, of_environment
from airkiln.autoscale.model import Demand, Group, Instance
from tests.unit.airkiln.autoscale.fakes import AwsError, Clock, FakeCloud

GROUP = "airkiln-prod-worker-default"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud(used={GROUP: Usage(95.0, 40.0)})


@pytest.fixture
def figures(clock: Clock, cloud: FakeCloud) -> Figures:
    return Figures("prod", cloud, clock)


def test_a_pools_figures_are_kept_by_the_second() -> None:
    found = metrics("prod", "batch", Demand(3, {"a": 2, "b": 1}, 7.5), Group(0, 9, 4, ()), 5)
    assert {each["MetricName"]: each["Value"] for each in found} == {
        "QueuedTasks": 3.0,
        "RunningTasks": 3.0,
        "OldestQueued": 7.5,
        "WantedWorkers": 5.0,
        "Workers": 4.0,
        "MissingWorkers": 4.0,
    }
    dimensions = [{"Name": "Environment", "Value": "prod"}, {"Name": "Pool", "Value": "batch"}]
    assert all(each["StorageResolution"] == 1 and each["Dimensions"] == dimensions for each in found)


def test_the_environment_lacks_what_the_worst_pool_lacks() -> None:
    def group(desired: int, *lifecycles: str) -> Group:
        return Group(
            0, 9, desired, tuple(Instance(f"i-{n}", None, each) for n, each in enumerate(lifecycles))
        )

    groups = [group(3, "InService", "Pending"), group(2, "InService", "InService", "Terminating:Wait")]
    (found,) = of_environment("prod", groups)
    assert (found["MetricName"], found["Value"]) == ("MissingWorkers", 2.0)
    assert found["Dimensions"] == [{"Name": "Environment", "Value": "prod"}]
    assert of_environment("prod", [])[0]["Value"] == 0.0


def test_of_a_group_that_is_not_known_there_are_no_workers_to_tell() -> None:
    names = {each["MetricName"] for each in metrics("prod", "batch", Demand(0, {}), None, 0)}
    assert names == {"QueuedTasks", "RunningTasks", "OldestQueued"}


def test_what_is_offered_is_sent_once_in_pieces(figures: Figures, cloud: FakeCloud) -> None:
    figures.offer([{"MetricName": str(number)} for number in range(2500)])
    figures.turn()
    figures.turn()
    assert len(cloud.published) == 2500


def test_usage_is_asked_for_once_a_minute(figures: Figures, cloud: FakeCloud, clock: Clock) -> None:
    assert figures.usage(["default"]) == {}
    for _ in range(61):
        figures.turn()
        clock.now += 1
    assert cloud.asked == [(GROUP,), (GROUP,)]
    assert figures.usage(["default"]) == {"default": Usage(95.0, 40.0)}


def test_what_is_old_counts_as_unknown(figures: Figures, cloud: FakeCloud, clock: Clock) -> None:
    figures.usage(["default"])
    figures.turn()
    cloud.fails = {"usage": AwsError("Throttling")}
    clock.now += USAGE_LIFE
    figures.turn()
    assert figures.usage(["default"])
    clock.now += 1
    assert figures.usage(["default"]) == {}


def test_failures_are_told_once_and_hold_up_nothing(
    figures: Figures, cloud: FakeCloud, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fails = {"publish": AwsError("Throttling"), "usage": AwsError("AccessDenied")}
    figures.usage(["default"])
    for _ in range(120):
        figures.offer([{}])
        figures.turn()
        clock.now += 1
    told = capsys.readouterr().err
    assert told.count("event=not-published ") == 1
    assert told.count("event=usage-unknown ") == 1
    cloud.fails = {}
    figures.offer([{}])
    figures.turn()
    assert cloud.published == [{}]
