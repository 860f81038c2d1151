"""What AWS says of this instance, and what it is told: in a thread of its own, which no lease waits for.

Instance metadata says that the instance will end (its lifecycle state, a Spot notice), asked every two
seconds. CloudWatch gets the leader's figures each minute, and the Auto Scaling group is told of a host whose
scheduler was stuck again and again. Without AWS nothing of this happens, and nothing else changes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from airkiln.errors import AirkilnError
from airkiln.failover.backlog import Backlog
from airkiln.host.metadata import Imds, NoImdsError
from airkiln.systemd.journal import NOTICE, WARNING, say

EVERY = 2.0
FIGURES_EVERY = 60.0
REPORT_EVERY = 30.0
"""Seconds between two attempts to report a host that is not healthy."""
NAMESPACE = "Airkiln"
GOING = ("Terminated", "Detached", "Standby")
"""Values of autoscaling/target-lifecycle-state with which an instance leaves its group's service."""
TELL_EVERY = 600.0
"""Seconds between two lines of an API that fails."""


@dataclass(frozen=True)
class Figures:
    """Of a leader. Ages in seconds."""

    heartbeat_age: float
    lease_age: float
    epoch: int
    takeovers: int


class Aws(threading.Thread):
    """`leaving` is why the instance ends soon; `figures` are what to publish, None on a standby."""

    def __init__(self, environment: str, backlog: Callable[[], Backlog]) -> None:
        super().__init__(name="aws", daemon=True)
        self._environment = environment
        self._backlog = backlog
        self._unhealthy: str | None = None
        self._told_at: dict[str, float] = {}
        self._reported_at = -REPORT_EVERY
        self._published_at = time.monotonic() - FIGURES_EVERY / 2
        self._clients: dict[str, Any] = {}
        self._instance: str | None = None
        self._region: str | None = None
        self.leaving: str | None = None
        self.figures: Figures | None = None

    def report_unhealthy(self, reason: str) -> None:
        """Have the Auto Scaling group replace this instance."""
        self._unhealthy = reason

    def run(self) -> None:
        """Until the process ends, or at once where there is no AWS. No step waits for another to succeed."""
        imds = Imds(timeout=1.0, attempts=2)
        while self._instance is None:
            try:
                found = imds.identity()
                self._instance, self._region = found.instance_id, found.region
            except NoImdsError:
                return
            except Exception as error:  # of whatever kind: told, and asked again
                self._complain("metadata", error)
                time.sleep(EVERY)
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("metadata", lambda: self._look(imds)),
            ("autoscaling", self._report),
            ("cloudwatch", self._publish),
        )
        while True:
            for name, step in steps:
                try:
                    step()
                except Exception as error:  # of any API: told, and tried again
                    self._complain(name, error)
            time.sleep(EVERY)

    def _look(self, imds: Imds) -> None:
        self.leaving = leaving(
            imds.get("meta-data/autoscaling/target-lifecycle-state"),
            imds.get("meta-data/spot/instance-action"),
        )

    def _report(self) -> None:
        reason = self._unhealthy
        if reason is None or time.monotonic() - self._reported_at < REPORT_EVERY:
            return
        self._reported_at = time.monotonic()
        self._client("autoscaling").set_instance_health(
            InstanceId=self._instance, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
        )
        say(f"event=reported-unhealthy instance={self._instance} reason={reason}", NOTICE)
        self._unhealthy = None

    def _publish(self) -> None:
        figures = self.figures
        if figures is None or time.monotonic() - self._published_at < FIGURES_EVERY:
            return
        self._published_at = time.monotonic()
        self._client("cloudwatch").put_metric_data(
            Namespace=NAMESPACE, MetricData=metrics(self._environment, figures, self._behind())
        )

    def _behind(self) -> Backlog | None:
        """None where it cannot be read: that somebody leads is told all the same."""
        try:
            return self._backlog()
        except AirkilnError as error:
            self._complain("database", error)
            return None

    def _client(self, service: str) -> Any:  # noqa: ANN401 - botocore's clients have no type at run time
        if service not in self._clients:
            # Not boto3: a resource layer and a session of its own would cost memory for nothing.
            session = resolve_name("botocore.session:get_session")()
            config = resolve_name("botocore.config:Config")(
                connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2}
            )
            self._clients[service] = session.create_client(service, region_name=self._region, config=config)
        return self._clients[service]

    def _complain(self, what: str, error: Exception) -> None:
        if time.monotonic() - self._told_at.get(what, -TELL_EVERY) < TELL_EVERY:
            return
        self._told_at[what] = time.monotonic()
        text = str(error) if isinstance(error, AirkilnError) else type(error).__name__
        say(f"event=aws-failed what={what} reason={text}", WARNING)


def leaving(lifecycle: str | None, spot: str | None) -> str | None:
    """Why the instance ends soon, from its metadata; None if nothing says so."""
    if spot:
        try:
            action = json.loads(spot)
            return f"Spot {action['action']} at {action['time']}"
        except (ValueError, KeyError, TypeError):
            return "a Spot notice"
    if lifecycle in GOING:
        return f"lifecycle state {lifecycle}"
    return None


def metrics(environment: str, figures: Figures, backlog: Backlog | None) -> list[dict[str, Any]]:
    """The leader's figures as PutMetricData takes them."""
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
