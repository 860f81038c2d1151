"""One host under the failover's daemon: its runtime directory, its scheduler, its database."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from airkiln.failover.aws import Aws
from airkiln.failover.backlog import Backlog
from airkiln.failover.config import Timings
from airkiln.failover.daemon import Daemon, Here
from airkiln.failover.runtime import PASSWORD as CONTROLLERS_PASSWORD
from airkiln.failover.runtime import Folder
from airkiln.failover.units import Groups, Units
from airkiln.roles import AUTOSCALE_UNIT, DAG_PROCESSOR_UNIT, DATABASE
from tests.unit.airkiln.failover.fake_client import PASSWORD, FakeClient, Lease
from tests.unit.airkiln.failover.scheduler import PATIENCE, Scheduler, Start, belongs, eventually

VARIABLES = {
    DATABASE: "postgresql+psycopg://airflow:owner-secret@db.internal:5432/airflow?sslmode=require",
    CONTROLLERS_PASSWORD: "controller-secret",
}
SECRETS = (PASSWORD, "owner-secret", "controller-secret")


class FakeGroups(Groups):
    """Kills the processes that it is given; `stays` is whether something outlasts that."""

    def __init__(self) -> None:
        super().__init__()
        self.schedulers: list[Scheduler] = []
        self.kills = 0
        self.stays = False

    def kill(self) -> None:
        self.kills += 1
        for each in self.schedulers:
            each.signal(signal.SIGKILL)

    def killed(self) -> bool:
        return not self.stays


class FakeUnits(Units):
    """Writes down what is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    def ask(self, verb: str, unit: str) -> None:
        self.asked.append((verb, unit))

    def followers(self) -> list[str]:
        """What was asked of them; both are asked alike."""
        processor, autoscale = (
            [verb for verb, unit in self.asked if unit == follower]
            for follower in (DAG_PROCESSOR_UNIT, AUTOSCALE_UNIT)
        )
        assert processor == autoscale
        return processor


class NoAws(Aws):
    """Asks nobody."""

    def __init__(self) -> None:
        super().__init__("prod", lambda: Backlog(0.0, 0))

    def run(self) -> None:
        return


class Machine:
    """One host: its runtime directory, its scheduler, its database."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.folder = Folder(folder / "run")
        self.folder.path.mkdir()
        self.timings = Timings()
        self.lease, self.groups, self.units, self.aws = Lease(), FakeGroups(), FakeUnits(), NoAws()
        self.told: list[str] = []
        """What systemd was told."""
        self._failure: BaseException | None = None

    def scheduler(self, start: Start) -> Scheduler:
        found = start(self.folder.gate)
        belongs(self.proc, found.pid)
        self.groups.schedulers.append(found)
        return found

    def runs(self, story: Callable[[], None]) -> None:
        """The daemon, until the story is told; then SIGTERM."""
        here = Here("a", "prod", VARIABLES, self.folder, self.timings)
        beside = threading.Thread(target=self._tell, args=(story,))
        controller = Daemon(
            here, lambda holder: FakeClient(self.lease, holder), self.groups, self.units, self.aws
        )
        beside.start()
        controller.run()
        beside.join(PATIENCE)
        if self._failure is not None:
            raise self._failure

    def _tell(self, story: Callable[[], None]) -> None:
        try:
            eventually(lambda: "READY=1" in self.told)
            story()
        except BaseException as failure:  # raised where pytest sees it
            self._failure = failure
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def called(self, name: str, times: int = 1) -> Callable[[], bool]:
        return lambda: self.lease.calls.count(name) >= times
