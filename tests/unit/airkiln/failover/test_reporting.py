"""What the controller reports to AWS: botocore's own clients, stubbed, and a test's own clock.

The stubs check every call against the service's description, as AWS would.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from airkiln.aws.clients import make_client
from airkiln.errors import UnavailableError
from airkiln.failover import reporting
from airkiln.failover.backlog import Backlog
from airkiln.failover.reporting import EVERY, METRICS_EVERY, REPORT_EVERY, Figures, Reporter, metrics
from airkiln.host.instance import Instance
from airkiln.systemd.journal import RateLimit

FIGURES = Figures(heartbeat_age=1.5, lease_age=0.25, epoch=7, takeovers=2)
BEHIND = Backlog(oldest_queued=12.5, import_errors=3)
INSTANCE = Instance("i-0aa1", "eu-west-1", "scheduler", "prod")


class TheEndError(BaseException):
    """The end of a test: nothing in a thread's loop catches it."""


@dataclass
class Time:
    """The time; `run` ends when `until` has come."""

    until: float = 0.0
    now: float = 5000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.until:
            raise TheEndError


class Host:
    """A Reporter with stubs by service."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = Time()
        self.backlog_fails = False
        self.instance = INSTANCE
        monkeypatch.setattr(reporting, "time", self.time)
        self.stubs = {
            service: Stubber(make_client(service, "eu-west-1")) for service in ("autoscaling", "cloudwatch")
        }
        for stub in self.stubs.values():
            stub.activate()
        self.reporter = Reporter(lambda: self.instance, self.behind, self.make)
        self.reporter._failures = RateLimit(clock=self.time.monotonic)

    def make(self, service: str, region: str | None) -> Any:  # noqa: ANN401 - botocore's
        assert region == "eu-west-1"
        return self.stubs[service].client

    def behind(self) -> Backlog:
        if self.backlog_fails:
            raise UnavailableError("database airflow at db: no answer")
        return BEHIND

    def goes_on(self, seconds: float) -> None:
        """In no time at all."""
        self.time.until = self.time.now + seconds
        with suppress(TheEndError):
            self.reporter.run()

    def all_was_called(self) -> None:
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()

    def publishes(self, times: int, data: object = ANY) -> None:
        for _ in range(times):
            expected = {"Namespace": "Airkiln/prod", "MetricData": data}
            self.stubs["cloudwatch"].add_response("put_metric_data", {}, expected)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_a_host_that_is_not_identified_yet_reports_as_soon_as_it_is(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.instance = Instance(environment="prod")
    host.reporter.figures = FIGURES
    host.reporter.report_unhealthy("stuck twice")
    host.goes_on(60 * METRICS_EVERY)  # an hour; a call that no stub expects would be an error
    assert capfd.readouterr().err == ""
    host.instance = INSTANCE
    host.stubs["autoscaling"].add_response("set_instance_health", {})
    host.publishes(1, metrics("prod", FIGURES, BEHIND))
    host.goes_on(EVERY)
    host.all_was_called()


def test_metrics_are_published_while_reports_fail(host: Host) -> None:
    host.reporter.figures = FIGURES
    host.reporter.report_unhealthy("stuck twice")
    for _ in range(5):
        host.stubs["autoscaling"].add_client_error("set_instance_health", "AccessDenied")
    host.publishes(2)
    host.goes_on(2 * METRICS_EVERY)
    host.stubs["cloudwatch"].assert_no_pending_responses()


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
    host.reporter.figures = FIGURES
    host.publishes(3, metrics("prod", FIGURES, BEHIND))
    host.goes_on(3 * METRICS_EVERY)
    host.all_was_called()


def test_a_standby_publishes_nothing(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    host.goes_on(3 * METRICS_EVERY)  # a call that no stub expects would be an error
    assert capfd.readouterr().err == ""


def test_that_somebody_leads_is_published_where_the_backlog_cannot_be_read(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.backlog_fails = True
    host.reporter.figures = FIGURES
    host.publishes(1, metrics("prod", FIGURES, None))
    host.goes_on(METRICS_EVERY)
    host.all_was_called()
    assert "reason=database airflow at db: no answer" in capfd.readouterr().err


def test_an_unhealthy_instance_is_reported_once(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    host.stubs["autoscaling"].add_response(
        "set_instance_health",
        {},
        {"InstanceId": "i-0aa1", "HealthStatus": "Unhealthy", "ShouldRespectGracePeriod": False},
    )
    host.reporter.report_unhealthy("stuck twice")
    host.goes_on(10 * EVERY)
    host.all_was_called()
    said = capfd.readouterr().err.splitlines()
    assert said == ["event=reported-unhealthy instance=i-0aa1 reason=stuck twice"]


def test_a_report_that_fails_is_made_again(host: Host) -> None:
    host.stubs["autoscaling"].add_client_error("set_instance_health", "Throttling")
    host.stubs["autoscaling"].add_response("set_instance_health", {})
    host.reporter.report_unhealthy("stuck twice")
    host.goes_on(2 * REPORT_EVERY)
    host.all_was_called()


def test_an_api_that_fails_is_one_line_in_ten_minutes(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    host.reporter.figures = FIGURES
    minutes = 15
    for _ in range(minutes):
        host.stubs["cloudwatch"].add_client_error("put_metric_data", "AccessDenied", "of secret/thing")
    host.goes_on(minutes * METRICS_EVERY)
    host.all_was_called()
    line = "event=report-failed what=cloudwatch reason=AccessDenied"
    assert capfd.readouterr().err.splitlines() == [line] * 2
    host.publishes(1)
    host.goes_on(METRICS_EVERY)
    host.all_was_called()
