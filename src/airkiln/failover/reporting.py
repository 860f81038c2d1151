"""What the controller reports to AWS, in a thread of its own: no lease waits for AWS.

CloudWatch gets the leader's metrics once a minute. A host whose scheduler was stuck repeatedly is reported
to its Auto Scaling group. Without AWS nothing is reported, and nothing else changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airkiln.aws.clients import Clients, Make, error_code
from airkiln.aws.metrics import namespace
from airkiln.errors import AirkilnError
from airkiln.failover.backlog import Backlog
from airkiln.host.instance import Instance
from airkiln.systemd.journal import NOTICE, RateLimit, say

EVERY = 2.0
"""Seconds between two checks for something to report."""
METRICS_EVERY = 60.0
REPORT_EVERY = 30.0
"""Seconds between two attempts to report an unhealthy host."""


@dataclass(frozen=True)
class Figures:
    """What the metrics of a leader are made of. Ages in seconds."""

    heartbeat_age: float
    lease_age: float
    epoch: int
    takeovers: int


class Reporter(threading.Thread):
    """Publishes `figures` (None on a standby) and reports an unhealthy host.

    :param instance: says what this instance is. Nothing is reported until it has an id.
    :param backlog: reads how far Airflow is behind; it may raise AirkilnError.
    :param make: makes a client of a service in a region.
    """

    def __init__(
        self,
        instance: Callable[[], Instance],
        backlog: Callable[[], Backlog],
        make: Make | None = None,
    ) -> None:
        super().__init__(name="reports", daemon=True)
        self._instance = instance
        self._backlog = backlog
        self._make = make
        self._clients: Clients | None = None
        self._failures = RateLimit()
        self._unhealthy: str | None = None
        self._reported_at = -REPORT_EVERY
        self._published_at = time.monotonic() - METRICS_EVERY / 2
        self.figures: Figures | None = None

    def report_unhealthy(self, reason: str) -> None:
        """Have the Auto Scaling group replace this instance."""
        self._unhealthy = reason

    def run(self) -> None:
        """Report until the process ends."""
        while True:
            self.turn()
            time.sleep(EVERY)

    def turn(self) -> None:
        """Report what there is. No report waits for another to succeed."""
        here = self._instance()
        if here.instance_id is None:
            return
        if self._clients is None:
            self._clients = Clients(here.region, self._make)
        for name, step in (("autoscaling", self._report), ("cloudwatch", self._publish)):
            try:
                step(here, self._clients)
            except Exception as error:  # of any kind: a line in the journal, and the next attempt
                self._failures.say(name, f"event=report-failed what={name} reason={error_code(error)}")

    def _report(self, here: Instance, clients: Clients) -> None:
        reason = self._unhealthy
        if reason is None or time.monotonic() - self._reported_at < REPORT_EVERY:
            return
        self._reported_at = time.monotonic()
        clients.get("autoscaling").set_instance_health(
            InstanceId=here.instance_id, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
        )
        say(f"event=reported-unhealthy instance={here.instance_id} reason={reason}", NOTICE)
        self._unhealthy = None

    def _publish(self, here: Instance, clients: Clients) -> None:
        figures = self.figures
        if figures is None or time.monotonic() - self._published_at < METRICS_EVERY:
            return
        self._published_at = time.monotonic()
        environment = here.environment or ""
        clients.get("cloudwatch").put_metric_data(
            Namespace=namespace(environment), MetricData=metrics(environment, figures, self._read_backlog())
        )

    def _read_backlog(self) -> Backlog | None:
        """None where it cannot be read: the other metrics are published all the same."""
        try:
            return self._backlog()
        except AirkilnError as error:
            self._failures.say("database", f"event=report-failed what=database reason={error}")
            return None


def metrics(environment: str, figures: Figures, backlog: Backlog | None) -> list[dict[str, Any]]:
    """The leader's metrics as PutMetricData takes them."""
    dimensions = [{"Name": "Environment", "Value": environment}]
    values = [
        ("Leaders", 1.0, "Count"),
        ("SchedulerHeartbeatAge", figures.heartbeat_age, "Seconds"),
        ("LeaseAge", figures.lease_age, "Seconds"),
        ("Epoch", float(figures.epoch), "None"),
        ("Takeovers", float(figures.takeovers), "Count"),
    ]
    if backlog is not None:
        values += [
            ("OldestQueuedTask", backlog.oldest_queued, "Seconds"),
            ("DagImportErrors", float(backlog.import_errors), "Count"),
        ]
    return [
        {"MetricName": name, "Value": value, "Unit": unit, "Dimensions": dimensions}
        for name, value, unit in values
    ]
