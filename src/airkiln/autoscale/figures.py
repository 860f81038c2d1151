"""CloudWatch, in a thread of its own: no decision waits for it.

The metrics of each cycle are published; CPU and memory of the groups are read once a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from airkiln.autoscale.amazon import SENT, Metric, Monitoring, Usage
from airkiln.autoscale.apply import Failures
from airkiln.autoscale.decision import missing
from airkiln.autoscale.model import Demand, Group
from airkiln.aws.clients import describe_error
from airkiln.aws.metrics import namespace
from airkiln.pools.model import group_name

EVERY = 1.0
"""Seconds between two checks for metrics to publish."""
USAGE_EVERY = 60.0
USAGE_LIFE = 180.0
"""Seconds after which CPU and memory count as unknown, where CloudWatch says nothing newer."""


@dataclass(frozen=True)
class _Known:
    """What CloudWatch said last, and when."""

    at: float
    usage: Mapping[str, Usage]


class Figures(threading.Thread):
    """`offer` what to send; `usage` is what came."""

    def __init__(
        self,
        environment: str,
        monitoring: Monitoring,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="cloudwatch", daemon=True)
        self._environment = environment
        self._monitoring = monitoring
        self._clock = clock
        self._failures = Failures(clock)
        self._pools: tuple[str, ...] = ()
        self._known: _Known | None = None
        self._asked_at: float | None = None
        self._offered: list[Metric] | None = None

    def offer(self, metrics: Iterable[Metric]) -> None:
        """Have these sent; what was offered before and is not sent yet is older, and dropped."""
        self._offered = list(metrics)

    def usage(self, pools: Iterable[str]) -> Mapping[str, Usage]:
        """CPU and memory by pool, as far as they are known; of these pools from now on."""
        self._pools = tuple(pools)
        known = self._known
        if known is None or self._clock() - known.at > USAGE_LIFE:
            return {}
        return known.usage

    def run(self) -> None:
        """Until the process ends."""
        while True:
            self.turn()
            time.sleep(EVERY)

    def turn(self) -> None:
        """Send what there is, and ask if it is time."""
        metrics, self._offered = self._offered, None
        try:
            if metrics:
                for begin in range(0, len(metrics), SENT):
                    self._monitoring.publish(namespace(self._environment), metrics[begin : begin + SENT])
        except Exception as error:  # reported, and the next ones are published
            self._failures.report("not-published", describe_error(error))
        now = self._clock()
        if self._pools and (self._asked_at is None or now - self._asked_at >= USAGE_EVERY):
            self._asked_at = now
            self._ask(self._pools)

    def _ask(self, pools: tuple[str, ...]) -> None:
        names = {group_name(self._environment, pool): pool for pool in pools}
        try:
            found = self._monitoring.usage(list(names), namespace(self._environment))
        except Exception as error:  # a guard that sees nothing guards nothing: demand decides alone
            self._failures.report("usage-unknown", describe_error(error))
            return
        self._known = _Known(self._clock(), {names[name]: usage for name, usage in found.items()})


def metrics(environment: str, pool: str, demand: Demand, group: Group | None, wanted: int) -> list[Metric]:
    """One pool's figures as PutMetricData takes them, kept by the second."""
    values = [
        ("QueuedTasks", float(demand.queued), "Count"),
        ("RunningTasks", float(sum(demand.running.values())), "Count"),
        ("OldestQueued", demand.oldest, "Seconds"),
    ]
    if group is not None:
        values += [
            ("WantedWorkers", float(wanted), "Count"),
            ("Workers", float(group.desired), "Count"),
            ("MissingWorkers", float(missing(group)), "Count"),
        ]
    dimensions = [{"Name": "Environment", "Value": environment}, {"Name": "Pool", "Value": pool}]
    return [
        {"MetricName": name, "Value": value, "Unit": unit, "StorageResolution": 1, "Dimensions": dimensions}
        for name, value, unit in values
    ]


def of_environment(environment: str, groups: Iterable[Group]) -> list[Metric]:
    """The figure that the environment's alarm watches: the most workers that any pool lacks."""
    value = float(max(map(missing, groups), default=0))
    dimensions = [{"Name": "Environment", "Value": environment}]
    return [{"MetricName": "MissingWorkers", "Value": value, "Unit": "Count", "Dimensions": dimensions}]
