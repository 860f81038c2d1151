"""One host under the failover's daemon: its runtime directory, its scheduler, its database."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from airkiln.database.controller import PASSWORD as PASSWORD_VARIABLE
from airkiln.failover.backlog import Backlog
from airkiln.failover.broker import BrokerProbe
from airkiln.failover.config import Timings
from airkiln.failover.control_groups import ControlGroups
from airkiln.failover.daemon import Daemon, Parts
from airkiln.failover.reporting import Reporter
from airkiln.failover.runtime import RuntimeDirectory
from airkiln.host.instance import Instance
from airkiln.host.notices import NoticeWatcher
from airkiln.roles import AUTOSCALE_UNIT, DAG_PROCESSOR_UNIT, DATABASE
from airkiln.systemd.systemctl import JobQueue
from tests.unit.airkiln.failover.fake_client import PASSWORD, FakeClient, Lease
from tests.unit.airkiln.failover.scheduler import PATIENCE, Scheduler, Start, belongs, eventually

VARIABLES = {
    DATABASE: "postgresql+psycopg://airflow:owner-secret@db.internal:5432/airflow?sslmode=require",
    PASSWORD_VARIABLE: "controller-secret",
}
INSTANCE = Instance("a", "eu-west-1", "scheduler", "prod")
SECRETS = (PASSWORD, "owner-secret", "controller-secret")


class FakeGroups(ControlGroups):
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


class FakeJobs(JobQueue):
    """Records the jobs that are requested."""

    def __init__(self) -> None:
        super().__init__()
        self.requested: list[tuple[str, str]] = []

    def request(self, verb: str, unit: str) -> None:
        self.requested.append((verb, unit))

    def followers(self) -> list[str]:
        """The verbs requested for both of them."""
        processor, autoscale = (
            [verb for verb, unit in self.requested if unit == follower]
            for follower in (DAG_PROCESSOR_UNIT, AUTOSCALE_UNIT)
        )
        assert processor == autoscale
        return processor


class FakeReporter(Reporter):
    """Reports nothing."""

    def __init__(self) -> None:
        super().__init__(lambda: INSTANCE, lambda: Backlog(0.0, 0))

    def run(self) -> None:
        return


class FakeProbe(BrokerProbe):
    """Asks nothing: a test says whether the broker is lost."""

    def __init__(self) -> None:
        super().__init__(lambda: {})
        self.fails = False

    def run(self) -> None:
        return

    def lost(self, now: float) -> bool:
        return self.fails


class FakeWatcher(NoticeWatcher):
    """Reads nothing: a test sets the notices."""

    def run(self) -> None:
        return


class Machine:
    """One host: its runtime directory, its scheduler, its database."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.directory = RuntimeDirectory(folder / "run")
        self.directory.path.mkdir()
        self.timings = Timings()
        self.lease, self.groups, self.jobs = Lease(), FakeGroups(), FakeJobs()
        self.reporter, self.watcher, self.probe = FakeReporter(), FakeWatcher(), FakeProbe()
        self.told: list[str] = []
        """What systemd was told."""
        self._failure: BaseException | None = None

    def scheduler(self, start: Start) -> Scheduler:
        found = start(self.directory.gate)
        belongs(self.proc, found.pid)
        self.groups.schedulers.append(found)
        return found

    def runs(self, story: Callable[[], None]) -> None:
        """The daemon, until the story is told; then SIGTERM."""
        beside = threading.Thread(target=self._tell, args=(story,))
        controller = Daemon(
            Parts(
                INSTANCE,
                VARIABLES,
                self.directory,
                self.timings,
                make_client=lambda holder: FakeClient(self.lease, holder),
                reporter=self.reporter,
                probe=self.probe,
                watcher=self.watcher,
                groups=self.groups,
                jobs=self.jobs,
            )
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
