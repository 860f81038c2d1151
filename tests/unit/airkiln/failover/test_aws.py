"""What AWS says of the instance and is told of it: botocore's own clients, stubbed, and a test's own clock.

The stubs check every call against the service's description, as AWS would.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import botocore.session
import pytest
from botocore.stub import ANY, Stubber

from airkiln.errors import UnavailableError
from airkiln.failover import aws
from airkiln.failover.aws import (
    EVERY,
    FIGURES_EVERY,
    REPORT_EVERY,
    TELL_EVERY,
    Aws,
    Figures,
    leaving,
    metrics,
)
from airkiln.failover.backlog import Backlog
from airkiln.host.metadata import Identity, NoImdsError

FIGURES = Figures(heartbeat_age=1.5, lease_age=0.25, epoch=7, takeovers=2)
BEHIND = Backlog(oldest_queued=12.5, import_errors=3)
LIFECYCLE = "meta-data/autoscaling/target-lifecycle-state"
SPOT = "meta-data/spot/instance-action"


class TheEndError(BaseException):
    """Of a test: nothing in a thread's loop catches it."""


@dataclass
class Surroundings:
    """Instance metadata, and the time; `run` ends when `until` has come."""

    until: float
    data: dict[str, str] = field(default_factory=dict)
    now: float = 5000.0
    there: bool = True

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.until:
            raise TheEndError

    def identity(self) -> Identity:
        if not self.there:
            raise NoImdsError("no answer")
        return Identity("i-0aa1", "eu-west-1", "scheduler", "prod")

    def get(self, path: str) -> str | None:
        if not self.there:
            raise NoImdsError("no answer")
        return self.data.get(path)


class Host:
    """An Aws in such surroundings, with stubs by service."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.around = Surroundings(until=0.0)
        self.stubs: dict[str, Stubber] = {}
        self.backlog_fails = False
        monkeypatch.setattr(aws, "time", self.around)
        monkeypatch.setattr(aws, "Imds", lambda **_: self.around)
        self.aws = Aws("prod", self.behind)
        session = botocore.session.Session()
        for service in ("autoscaling", "cloudwatch"):
            client = session.create_client(service, region_name="eu-west-1")
            self.stubs[service] = Stubber(client)
            self.stubs[service].activate()
        monkeypatch.setattr("botocore.session.get_session", lambda: self)

    def create_client(self, service: str, region_name: str, config: object) -> Any:  # noqa: ANN401 - botocore's
        assert (region_name, config is not None) == ("eu-west-1", True)
        return self.stubs[service].client

    def behind(self) -> Backlog:
        if self.backlog_fails:
            raise UnavailableError("database airflow at db: no answer")
        return BEHIND

    def goes_on(self, seconds: float) -> None:
        """In no time at all."""
        self.around.until = self.around.now + seconds
        with suppress(TheEndError):
            self.aws.run()

    def all_was_called(self) -> None:
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()

    def publishes(self, times: int, data: object = ANY) -> None:
        for _ in range(times):
            expected = {"Namespace": "Airkiln", "MetricData": data}
            self.stubs["cloudwatch"].add_response("put_metric_data", {}, expected)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return Host(monkeypatch)


# What it says


@pytest.mark.parametrize(
    ("lifecycle", "spot", "why"),
    [
        (None, None, None),
        ("InService", None, None),
        ("Pending:Wait", "", None),
        ("Terminated", None, "lifecycle state Terminated"),
        ("Detached", None, "lifecycle state Detached"),
        ("Standby", None, "lifecycle state Standby"),
        (
            "InService",
            '{"action": "terminate", "time": "2026-09-18T08:22:00Z"}',
            "Spot terminate at 2026-09-18T08:22:00Z",
        ),
        ("InService", "soon", "a Spot notice"),
        ("InService", "{}", "a Spot notice"),
        ("InService", "[]", "a Spot notice"),
    ],
)
def test_why_an_instance_ends_soon(lifecycle: str | None, spot: str | None, why: str | None) -> None:
    assert leaving(lifecycle, spot) == why


def test_metadata_is_looked_at_again_and_again(host: Host) -> None:
    host.goes_on(EVERY)
    assert host.aws.leaving is None
    host.around.data[LIFECYCLE] = "Terminated"
    host.goes_on(EVERY)
    assert host.aws.leaving == "lifecycle state Terminated"
    host.around.data = {LIFECYCLE: "InService"}
    host.goes_on(EVERY)
    assert host.aws.leaving is None
    host.around.data[SPOT] = "{}"
    host.goes_on(EVERY)
    assert host.aws.leaving == "a Spot notice"


def test_without_aws_it_ends_and_says_nothing(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    host.around.there = False
    host.aws.run()
    assert capfd.readouterr().err == ""


def test_metadata_that_goes_away_for_a_while_ends_nothing(host: Host) -> None:
    host.goes_on(EVERY)
    host.around.there = False
    host.goes_on(3 * EVERY)
    host.around.there = True
    host.around.data[LIFECYCLE] = "Terminated"
    host.goes_on(EVERY)
    assert host.aws.leaving == "lifecycle state Terminated"


def test_figures_are_published_while_reports_and_metadata_fail(host: Host) -> None:
    host.goes_on(EVERY)
    host.around.there = False
    host.aws.figures = FIGURES
    host.aws.report_unhealthy("stuck twice")
    for _ in range(5):
        host.stubs["autoscaling"].add_client_error("set_instance_health", "AccessDenied")
    host.publishes(2)
    host.goes_on(2 * FIGURES_EVERY)
    host.stubs["cloudwatch"].assert_no_pending_responses()


# What it is told


def test_the_figures_of_a_leader() -> None:
    found = metrics("prod", FIGURES, BEHIND)
    assert {(each["MetricName"], each["Value"], each["Unit"]) for each in found} == {
        ("Leaders", 1.0, "Count"),
        ("SchedulerHeartbeatAge", 1.5, "Seconds"),
        ("LeaseAge", 0.25, "Seconds"),
        ("Epoch", 7.0, "None"),
        ("Takeovers", 2.0, "Count"),
        ("OldestQueuedTask", 12.5, "Seconds"),
        ("DagImportErrors", 3.0, "Count"),
    }
    assert {str(each["Dimensions"]) for each in found} == {str([{"Name": "Environment", "Value": "prod"}])}


def test_a_leader_publishes_them_once_a_minute(host: Host) -> None:
    host.aws.figures = FIGURES
    host.publishes(3, metrics("prod", FIGURES, BEHIND))
    host.goes_on(3 * FIGURES_EVERY)
    host.all_was_called()


def test_a_standby_publishes_nothing(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    host.goes_on(3 * FIGURES_EVERY)  # a call that no stub expects would be an error
    assert capfd.readouterr().err == ""


def test_that_somebody_leads_is_published_where_the_backlog_cannot_be_read(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.backlog_fails = True
    host.aws.figures = FIGURES
    host.publishes(1, metrics("prod", FIGURES, None))
    host.goes_on(FIGURES_EVERY)
    host.all_was_called()
    assert "reason=database airflow at db: no answer" in capfd.readouterr().err


def test_an_unhealthy_instance_is_reported_once(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    host.stubs["autoscaling"].add_response(
        "set_instance_health",
        {},
        {"InstanceId": "i-0aa1", "HealthStatus": "Unhealthy", "ShouldRespectGracePeriod": False},
    )
    host.aws.report_unhealthy("stuck twice")
    host.goes_on(10 * EVERY)
    host.all_was_called()
    said = capfd.readouterr().err.splitlines()
    assert said == ["event=reported-unhealthy instance=i-0aa1 reason=stuck twice"]


def test_a_report_that_fails_is_made_again(host: Host) -> None:
    host.stubs["autoscaling"].add_client_error("set_instance_health", "Throttling")
    host.stubs["autoscaling"].add_response("set_instance_health", {})
    host.aws.report_unhealthy("stuck twice")
    host.goes_on(2 * REPORT_EVERY)
    host.all_was_called()


def test_an_api_that_fails_is_told_once_in_ten_minutes_and_disturbs_nothing(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.aws.figures = FIGURES
    minutes = round(1.5 * TELL_EVERY / FIGURES_EVERY)
    for _ in range(minutes):
        host.stubs["cloudwatch"].add_client_error("put_metric_data", "AccessDenied", "of secret/thing")
    host.around.data[LIFECYCLE] = "Terminated"
    host.goes_on(minutes * FIGURES_EVERY)
    host.all_was_called()
    assert host.aws.leaving == "lifecycle state Terminated"
    assert capfd.readouterr().err.splitlines() == ["event=aws-failed what=cloudwatch reason=ClientError"] * 2
    host.publishes(1)
    host.goes_on(FIGURES_EVERY)
    host.all_was_called()
