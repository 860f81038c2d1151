"""A pool of workers as a queueing model: tasks begin in the order in which they were queued, each in a free
slot of a worker that serves.

- A worker serves `boot` seconds after it was requested, and costs from the request on.
- The slot that has been free longest takes the next task, as with workers that poll a queue: the load
  spreads over all of them, which is the hardest case for a policy that only ends idle workers.
- A worker that is to end takes no further task and is gone when those it has have ended.
- Between two observations of a policy the model goes from event to event; nothing in it is random.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from airkiln.autoscale.model import IN_SERVICE, Group, Instance
from airkiln.simulation.history import Tasks

PENDING, TERMINATING = "Pending", "Terminating:Wait"
ZONES = "ab"


@dataclass(frozen=True)
class Machines:
    """What a pool's workers are."""

    slots: int
    """Tasks at a time of one."""
    least: int
    """How many there are at the beginning, and at least."""
    most: int
    boot: float
    """Seconds from the asking for one until it serves."""


class WorkerGroup:
    """Tasks and workers of one pool at one moment, in seconds since the epoch."""

    def __init__(self, tasks: Tasks, machines: Machines, begin: float) -> None:
        self.slots, self.least, self.most = machines.slots, machines.least, machines.most
        self.boot, self.now = machines.boot, begin
        self.waits = array("d")
        """Seconds that those waited that waited at all."""
        self.worker_seconds = 0.0
        """Of workers that are gone."""
        self.changes: list[tuple[float, int]] = [(begin, self.least)]
        """Desired capacity, and since when."""
        self.busy: dict[str, int] = {}
        """Tasks of each worker that is not gone."""
        self._tasks = tasks
        self._head = 0  # the first task that has not begun
        self._arrived = 0
        self._clock = begin  # of the last slot that a task waited for
        self._ends: list[tuple[float, str]] = []  # when each running task ends, and where: a heap
        self._free: deque[str] = deque()  # a worker's name for each free slot
        self._boots: deque[tuple[float, str]] = deque()
        self._closed: set[str] = set()
        self._launched: dict[str, float] = {}
        self._instances: dict[str, Instance] = {}
        self._group: Group | None = None
        self._number = 0
        for _ in range(self.least):
            self._serve(self._launch(begin))

    @property
    def queued(self) -> int:
        """Tasks that wait for a slot."""
        return self._arrived - self._head

    @property
    def running(self) -> int:
        """Tasks that run, on whatever worker."""
        return len(self._ends)

    @property
    def desired(self) -> int:
        """The desired number of workers."""
        return self.changes[-1][1]

    @property
    def done(self) -> bool:
        """Whether every task of the history has ended."""
        return self._head == len(self._tasks) and not self._ends

    @property
    def unserved(self) -> int:
        """Tasks of the history that have not begun."""
        return len(self._tasks) - self._head

    @property
    def oldest(self) -> float:
        """Seconds for which the first of the waiting tasks has waited."""
        return self.now - self._tasks.queued_at[self._head] if self.queued else 0.0

    @property
    def group(self) -> Group:
        """As AWS would describe it."""
        if self._group is None:
            self._group = Group(self.least, self.most, self.desired, tuple(self._instances.values()))
        return self._group

    def serving(self) -> int:
        """Workers in service."""
        return sum(each.lifecycle == IN_SERVICE for each in self.group.instances)

    def polling(self) -> int:
        """Workers in service with a free slot."""
        busy, slots = self.busy, self.slots
        return sum(each.lifecycle == IN_SERVICE and busy[each.id] < slots for each in self.group.instances)

    def advance(self, until: float) -> None:
        """Let happen what happens by `until`."""
        queued_at, seconds = self._tasks.queued_at, self._tasks.seconds
        ends, boots, waits = self._ends, self._boots, self.waits
        head, count, clock = self._head, len(self._tasks), self._clock
        while head < count:
            at = queued_at[head]
            if at > until:
                break
            if (ends and ends[0][0] <= at) or (boots and boots[0][0] <= at):
                self._release(at)
            worker = self._take()
            if worker is None:  # it waits for the first slot
                moment = self._next()
                if moment > until:
                    break
                clock = moment
                self._release(moment)
                continue
            if clock > at:
                waits.append(clock - at)
                at = clock
            self._start(worker, at, seconds[head])
            head += 1
        self._head, self._clock = head, clock
        self._release(until)
        self._arrived = bisect_right(queued_at, until, head)
        self.now = until

    def _start(self, worker: str, at: float, seconds: float) -> None:
        """The next task begins there."""
        heappush(self._ends, (at + seconds, worker))
        self.busy[worker] += 1

    def _take(self) -> str | None:
        """The slot that has been free longest."""
        free, closed = self._free, self._closed
        while free:
            worker = free.popleft()
            if worker not in closed:
                return worker
        return None

    def _release(self, until: float) -> None:
        """Tasks that end and workers that begin to serve by then."""
        ends, boots, busy = self._ends, self._boots, self.busy
        while ends and ends[0][0] <= until:
            moment, worker = heappop(ends)
            busy[worker] -= 1
            if worker not in self._closed:
                self._free.append(worker)
            elif not busy[worker]:
                self._gone(worker, moment)
        while boots and boots[0][0] <= until:
            self._serve(boots.popleft()[1])

    def _next(self) -> float:
        """When the next slot may get free."""
        first = self._ends[0][0] if self._ends else float("inf")
        return min(first, self._boots[0][0]) if self._boots else first

    def scale_out(self, desired: int) -> None:
        """Have so many workers, which is more than there are."""
        for _ in range(desired - self.desired):
            self._boots.append((self.now + self.boot, self._launch(self.now)))
        self._changed(desired)

    def terminate(self, names: Iterable[str]) -> None:
        """Let these workers end, and have as many fewer."""
        count = 0
        for worker in names:
            count += 1
            self._closed.add(worker)
            if self.busy[worker]:
                self._replace(worker, TERMINATING)
            else:
                self._gone(worker, self.now)
        self._changed(self.desired - count)

    def scale_in(self, desired: int, *, newest: bool = False) -> None:
        """Have so many workers, whichever end, busy or not: the oldest, or the newest."""
        staying = [each.id for each in self.group.instances if each.lifecycle != TERMINATING]
        count = self.desired - desired
        self.terminate(staying[-count:] if newest else staying[:count])

    def protect(self, workers: Iterable[str], *, protected: bool) -> None:
        """Set their protection from scale-in."""
        for worker in workers:
            self._replace(worker, self._instances[worker].lifecycle, protected=protected)

    def cost(self) -> float:
        """Seconds of all workers until now."""
        return self.worker_seconds + sum(self.now - since for since in self._launched.values())

    def _launch(self, now: float) -> str:
        worker = f"i-{self._number:06}"
        zone = ZONES[self._number % len(ZONES)]
        self._number += 1
        self._launched[worker] = now
        self._instances[worker] = Instance(worker, worker, PENDING, zone=zone)
        self.busy[worker] = 0
        return worker

    def _serve(self, worker: str) -> None:
        if worker not in self._closed:
            self._free.extend([worker] * self.slots)
            self._replace(worker, IN_SERVICE)

    def _gone(self, worker: str, moment: float) -> None:
        self.worker_seconds += moment - self._launched.pop(worker)
        del self.busy[worker]
        del self._instances[worker]
        self._group = None

    def _replace(self, worker: str, lifecycle: str, *, protected: bool | None = None) -> None:
        old = self._instances[worker]
        kept = old.protected if protected is None else protected
        self._instances[worker] = Instance(worker, worker, lifecycle, kept, old.zone)
        self._group = None

    def _changed(self, desired: int) -> None:
        if desired != self.desired:
            self.changes.append((self.now, desired))
        self._group = None
