"""Runs what the played EC2 decides: jobs of one instance in order, of several at the same time.

Also notices when a machine ends by itself (power off, reboot, or killed) and says so.
Left out: placement, limits of how many machines run at once.
"""

from __future__ import annotations

import logging
import queue
import subprocess
import threading
from collections.abc import Callable

from rehearsal.linux.machine import REBOOT, Machine, Specification
from rehearsal.linux.network import port_name
from rehearsal.linux.processes import run
from rehearsal.region import Region

Job = Callable[[], None]
log = logging.getLogger(__name__)


class Hypervisor:
    """The machines of the region's instances."""

    def __init__(self, region: Region, ended: Callable[[str], None]) -> None:
        """``ended`` is told the id of an instance whose machine ended without being asked to by EC2."""
        self.region = region
        self._ended = ended
        self._lock = threading.Lock()
        self._queues: dict[str, queue.Queue[Job | None]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, instance_id: str, job: Job) -> None:
        """Run a job after the earlier ones of the same instance; a failure is logged, and later ones run."""
        with self._lock:
            jobs = self._queues.get(instance_id)
            if jobs is None:
                jobs = self._queues[instance_id] = queue.Queue()
                threading.Thread(target=self._work, args=(instance_id, jobs), daemon=True).start()
            jobs.put(job)

    def machine(self, instance_id: str) -> Machine:
        """The machine of an instance."""
        return Machine(self.region, instance_id)

    def create(self, specification: Specification) -> None:
        """Make an instance's machine, off."""
        Machine.create(self.region, specification)

    def start(self, instance_id: str) -> None:
        """Boot an instance's machine and watch it."""
        process = self.machine(instance_id).start()
        self._running[instance_id] = process
        threading.Thread(target=self._watch, args=(instance_id, process), daemon=True).start()

    def stop(self, instance_id: str) -> None:
        """Power off, in order if the machine can within a minute."""
        self._running.pop(instance_id, None)
        self.machine(instance_id).stop()

    def cut(self, instance_id: str) -> None:
        """Cut the power: the network first, since a dead host says no farewell."""
        if self._running.pop(instance_id, None) is not None:
            run(["ip", "-n", self.region.namespace, "link", "set", port_name(instance_id), "down"])
        self.machine(instance_id).kill()

    def remove(self, instance_id: str) -> None:
        """Power off, delete the disk, and end the instance's worker."""
        self.stop(instance_id)
        self.machine(instance_id).remove()
        with self._lock:
            jobs = self._queues.pop(instance_id, None)
        if jobs is not None:
            jobs.put(None)

    def running(self, instance_id: str) -> bool:
        """Whether the machine runs."""
        return self.machine(instance_id).running()

    def _watch(self, instance_id: str, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        if self._running.get(instance_id) is not process:
            return
        log.info("%s ended by itself with status %d", instance_id, status)

        def follow() -> None:
            if self._running.get(instance_id) is not process:
                return
            self._running.pop(instance_id)
            self.machine(instance_id).kill()
            if status == REBOOT:
                self.start(instance_id)
            else:
                self._ended(instance_id)

        self.submit(instance_id, follow)

    def _work(self, instance_id: str, jobs: queue.Queue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            try:
                job()
            except Exception:
                log.exception("A job of %s failed", instance_id)
