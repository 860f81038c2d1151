"""How others scale Airflow's workers, as policies for a simulated pool beside ours.

What differs is the policy alone: the same boot, and a worker that is to end drains without a limit. That is
kinder than they are: Turbine's hook ends after its heartbeat, and a pod of the chart after 600 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from airkiln.pools.model import Pool
from airkiln.simulation.history import Tasks
from airkiln.simulation.policies import Policy
from airkiln.simulation.queueing import WorkerGroup

MINUTE: Final = 60.0
NEVER: Final = float("-inf")


class Turbine:
    """The load of github.com/villasv/aws-airflow-stack: one worker more from 0.9 on, one fewer up to 0.5.

    - functions/load_metric.py at 222a3abecd70: `load = 1 - NOER / (GISI * 0.098444 * 300)` over a period of
      five minutes, where NOER are SQS's empty receives and GISI the workers in service; with none it is 1 as
      soon as a message is visible. It runs every minute and reads the last period that is complete.
    - templates/turbine-workerset.template at 002bfecf9ff3: alarms of one period of 300 s, simple scaling by 1
      with a cool-down of 600 s. Thresholds and sizes: templates/turbine-master.template at 0495471d943f.

    An alarm goes on acting every minute while it holds. A worker polls while it has a free slot.
    """

    every = 10.0
    PERIOD = 300.0
    EMPTY_RECEIVES = 0.098444
    """A second, of a worker that polls in vain: their constant."""
    GROWTH, SHRINK, COOLDOWN = 0.9, 0.5, 600.0

    def __init__(self) -> None:
        self._visible = self._looks = 0
        self._empty = self._serving = 0.0
        self._load: float | None = None
        self._measured: float | None = None
        self._acted = NEVER

    def act(self, workers: WorkerGroup) -> None:
        """Sample, publish at the period's end, and act on every full minute."""
        self._looks += 1
        self._visible = max(self._visible, workers.queued)
        self._serving += workers.serving()
        if not workers.queued:
            self._empty += workers.polling() * self.EMPTY_RECEIVES * self.every
        if workers.now % MINUTE:
            return
        self._load = self._measured  # what the run of the last minute found
        if not workers.now % self.PERIOD:
            self._measure()
        if self._load is None or workers.now - self._acted < self.COOLDOWN:
            return
        if self._load >= self.GROWTH and workers.desired < workers.most:
            workers.scale_out(workers.desired + 1)
            self._acted = workers.now
        elif self._load <= self.SHRINK and workers.desired > workers.least:
            workers.scale_in(workers.desired - 1)
            self._acted = workers.now

    def _measure(self) -> None:
        serving = self._serving / self._looks
        if serving > 0:
            self._measured = 1 - self._empty / (serving * self.EMPTY_RECEIVES * self.PERIOD)
        else:
            self._measured = 1.0 if self._visible else 0.0
        self._visible = self._looks = 0
        self._empty = self._serving = 0.0


class TargetTracking:
    """Target tracking on the backlog of an SQS queue an instance, as AWS describes it.

    - docs.aws.amazon.com/autoscaling/ec2/userguide/as-using-sqs-queue.html: visible messages over instances
      in service; the target is the acceptable latency over the mean time of a task, of which an instance
      here runs `slots` at a time. Data are of one minute. With no instance in service there is no figure,
      so that it cannot come back from zero: it keeps one.
    - Its alarms want 3 minutes above the target, or 15 minutes below 90 % of it
      (github.com/aws/containers-roadmap/issues/1208).
    - It grows in proportion. AWS calls its scale-in gradual and does not say more: here one worker a minute.
    """

    every = MINUTE
    ACCEPTABLE = 60.0
    """Seconds that a task may wait. The mean is the history's own, which in practice is unknown."""
    HIGH, LOW = 3, 15
    """Minutes in a row."""
    FAR_BELOW = 0.9

    def __init__(self, slots: int, mean: float) -> None:
        self._target = max(self.ACCEPTABLE * slots / mean, 1.0) if mean else float(slots)
        self._above = self._below = 0

    def act(self, workers: WorkerGroup) -> None:
        """The figure of the last minute, and the alarms."""
        serving = workers.serving()
        if not serving:
            self._above = self._below = 0
            return
        backlog = workers.queued / serving
        self._above = self._above + 1 if backlog > self._target else 0
        self._below = self._below + 1 if backlog < self.FAR_BELOW * self._target else 0
        if self._above >= self.HIGH:
            aim = min(math.ceil(workers.queued / self._target), workers.most)
            if aim > workers.desired:
                workers.scale_out(aim)
        elif self._below >= self.LOW and workers.desired > workers.least:
            workers.scale_in(workers.desired - 1)


class Keda:
    """KEDA and the HPA with the query and the defaults of Airflow's Helm chart.

    - chart/values.yaml of apache/airflow at 001394a91d3f, workers.keda: `ceil(count(running or queued) /
      worker_concurrency)`, polled every 5 s, down to zero after 30 s without any.
    - The rest is the HPA's (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale): every 15 s;
      up by what is more of 4 and 100 %, down to the greatest value of the last 300 s. A StatefulSet, the
      chart's default, ends its newest pods, busy or not.
    """

    every = 5.0
    SYNC, COOLDOWN, WINDOW = 15.0, 30.0, 300.0

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._active = NEVER
        self._window: list[tuple[float, int]] = []

    def act(self, workers: WorkerGroup) -> None:
        """A poll of KEDA's, and each third time one of the HPA's."""
        now, wanted = workers.now, -(-(workers.queued + workers.running) // self._slots)
        if wanted:
            self._active = now
        if not workers.desired:
            self._window = []
            if wanted:
                workers.scale_out(1)
        elif not workers.least and now - self._active >= self.COOLDOWN:
            workers.scale_in(0, newest=True)
        elif not now % self.SYNC:
            self._scale(workers, max(min(wanted, workers.most), workers.least, 1))

    def _scale(self, workers: WorkerGroup, wanted: int) -> None:
        self._window = [each for each in self._window if each[0] > workers.now - self.WINDOW]
        self._window.append((workers.now, wanted))
        if wanted > workers.desired:
            workers.scale_out(min(wanted, max(2 * workers.desired, workers.desired + 4)))
            return
        peak = max(each[1] for each in self._window)
        if peak < workers.desired:
            workers.scale_in(peak, newest=True)


@dataclass(frozen=True)
class Peer:
    """A policy beside ours."""

    make: Callable[[Pool, Tasks], Policy]
    least: int = 0
    """Workers that it cannot go below."""


def _target_tracking(pool: Pool, tasks: Tasks) -> Policy:
    return TargetTracking(pool.slots, sum(tasks.seconds) / len(tasks) if len(tasks) else 0.0)


PEERS: Final[Mapping[str, Peer]] = {
    "turbine": Peer(lambda _pool, _tasks: Turbine()),
    "target-tracking": Peer(_target_tracking, least=1),
    "keda": Peer(lambda pool, _tasks: Keda(pool.slots)),
}
