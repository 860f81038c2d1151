"""Runs the machines behind instances: jobs of one instance in order, jobs of several at the same time.

It also notices when a machine ends by itself (powered off, rebooted, killed) and tells EC2.
Left out: placement, and limits of how many machines run at once.
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
    """The machines of one rehearsal's instances."""

    def __init__(self, region: Region, machine_ended: Callable[[str], None]) -> None:
        """``machine_ended`` is called with the id of an instance whose machine ended unasked."""
        self.region = region
        self._machine_ended = machine_ended
        self._lock = threading.Lock()
        self._queues: dict[str, queue.Queue[Job | None]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, instance_id: str, job: Job) -> None:
        """Run a job after the earlier ones of the same instance. A failure is logged and ends no other."""
        with self._lock:
            jobs = self._queues.get(instance_id)
            if jobs is None:
                jobs = self._queues[instance_id] = queue.Queue()
                threading.Thread(target=self._work, args=(instance_id, jobs), daemon=True).start()
            jobs.put(job)

    def machine(self, instance_id: str) -> Machine:
        """Return the machine of an instance."""
        return Machine(self.region, instance_id)

    def create(self, specification: Specification) -> None:
        """Make an instance's machine, powered off."""
        Machine.create(self.region, specification)

    def start(self, instance_id: str) -> None:
        """Boot an instance's machine and watch it."""
        process = self.machine(instance_id).start()
        self._running[instance_id] = process
        threading.Thread(target=self._watch, args=(instance_id, process), daemon=True).start()

    def stop(self, instance_id: str) -> None:
        """Shut the machine down; after a minute cut its power."""
        self._running.pop(instance_id, None)
        self.machine(instance_id).stop()

    def cut_power(self, instance_id: str) -> None:
        """End the machine at once. Its network goes first: a host without power closes no connection."""
        if self._running.pop(instance_id, None) is not None:
            run(["ip", "-n", self.region.namespace, "link", "set", port_name(instance_id), "down"])
        self.machine(instance_id).kill()

    def remove(self, instance_id: str) -> None:
        """Power off, delete the disk, and end the instance's job thread."""
        self.stop(instance_id)
        self.machine(instance_id).remove()
        with self._lock:
            jobs = self._queues.pop(instance_id, None)
        if jobs is not None:
            jobs.put(None)

    def running(self, instance_id: str) -> bool:
        """Return whether the machine runs."""
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
                self._machine_ended(instance_id)

        self.submit(instance_id, follow)

    def _work(self, instance_id: str, jobs: queue.Queue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            try:
                job()
            except Exception:
                log.exception("A job of %s failed", instance_id)
