"""What Airkiln's executor makes of what a dead scheduler or the broker left: real Airflow, no worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.deployment.cluster import Cluster
from tests.failover.workshop import Workshop

pytestmark = [pytest.mark.root, pytest.mark.image]

QUEUED = ["never_sent", "resumes", "waits"]


@pytest.fixture(scope="module")
def report(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """What the takeover of `takeover.py` led to, in a database that was prepared as a deployment does it."""
    workshop = Workshop(cluster.webserver.machine, cluster.postgres, "workshop")
    workshop.empty_results()
    yield workshop.report("takeover.py", "takeover_dag.py")
    workshop.drop()


def test_what_was_queued_is_scheduled_again_and_what_runs_is_adopted(report: dict[str, Any]) -> None:
    states = {name: found["state"] for name, found in report["taken over"].items()}
    assert states == {**dict.fromkeys(QUEUED, "scheduled"), "runs": "running", "ended": "running"}
    assert report["handed back"] == QUEUED
    assert report["adopted"] == ["runs"]


def test_the_next_loop_queues_it_to_be_sent_anew(report: dict[str, Any]) -> None:
    for name in QUEUED:
        found = report["scheduled"][name]
        assert (found["state"], found["celery id"]) == ("queued", True)


def test_no_try_is_counted(report: dict[str, Any]) -> None:
    assert {found["try"] for found in report["scheduled"].values()} == {1}
    assert report["history"] == 0


def test_a_message_that_was_sent_after_all_finds_no_task_instance(report: dict[str, Any]) -> None:
    same = {name: found["same id"] for name, found in report["taken over"].items()}
    assert same == {**dict.fromkeys(QUEUED, False), "runs": True, "ended": True}


def test_a_deferred_task_resumes_where_it_would_have(report: dict[str, Any]) -> None:
    assert report["scheduled"]["resumes"]["next method"] == "execute_complete"


def test_the_waits_of_a_sensor_still_count(report: dict[str, Any]) -> None:
    assert {name: found["waits"] for name, found in report["scheduled"].items() if found["waits"]} == {
        "waits": 1
    }


def test_a_callback_that_no_worker_began_is_queued_again_and_another_is_not_run_twice(
    report: dict[str, Any],
) -> None:
    assert report["unsent callback"] == "pending"
    assert report["events"]["sent callback"] == "success"


def test_what_the_broker_has_lost_is_handed_back_and_nothing_else(cluster: Cluster) -> None:
    workshop = Workshop(cluster.webserver.machine, cluster.postgres, "workshop_lost")
    try:
        found = workshop.report("lost.py", "takeover_dag.py")
    finally:
        workshop.drop()
    assert found == {
        "while one waits": [],
        "while one was received": [],
        "after few looks": [],
        "after enough looks": ["ended", "never_sent"],
        "still followed": ["resumes", "runs", "waits"],
        "tries": [1],
    }


def test_a_hostile_result_runs_nothing_and_success_and_failure_still_arrive(report: dict[str, Any]) -> None:
    assert report["events"] == {"sent callback": "success", "ended": "failed"}
    assert not report["hostile code ran"]


def test_without_the_trigger_the_same_result_runs_code_in_the_scheduler(cluster: Cluster) -> None:
    # The test of the test above.
    workshop = Workshop(cluster.webserver.machine, cluster.postgres, "workshop_open")
    try:
        assert workshop.report("takeover.py", "takeover_dag.py")["hostile code ran"]
    finally:
        workshop.drop()
