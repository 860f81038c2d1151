"""`airkiln failover run`: observes, decides, and carries out. It waits for events, never for the network.

The events are: replies of the thread that talks to the database, the gate and the processes behind it,
signals, and the moment that the decision asked for.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import select
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from airkiln.failover.acquiring import another_leads
from airkiln.failover.broker import BrokerProbe
from airkiln.failover.config import Timings
from airkiln.failover.control_groups import ControlGroups
from airkiln.failover.decision import decide, wake_at
from airkiln.failover.gate import Gate
from airkiln.failover.health import Health
from airkiln.failover.model import (
    Abandon,
    Action,
    DumpStacks,
    Exit,
    Kill,
    Note,
    Observation,
    OpenGate,
    Phase,
    Reply,
    ReportUnhealthy,
    Request,
    StartFollowers,
    State,
)
from airkiln.failover.reporting import Figures, Reporter
from airkiln.failover.runtime import RuntimeDirectory, service_entry
from airkiln.failover.session import Client, DatabaseSession
from airkiln.host import files, processes
from airkiln.host.clock import boottime
from airkiln.host.daemon import Status, Stop
from airkiln.host.instance import Instance
from airkiln.host.layout import SERVICE_USER
from airkiln.host.notices import Notices, NoticeWatcher
from airkiln.roles import FOLLOWERS, SCHEDULER_UNIT
from airkiln.systemd import notify
from airkiln.systemd.journal import say
from airkiln.systemd.systemctl import JobQueue

LONGEST_SLEEP = 1.0
"""Seconds between two turns at most: the watchdog is fed that often."""
KILL_POLL = 0.01
"""Seconds between two checks of whether a kill has ended everything."""
SAMPLE_EVERY = 0.5
START_EVERY = 15.0
"""Seconds between two requests to start the scheduler, while none waits at the gate; and of a leader, between
two looks at whether the start of a unit that follows the scheduler has failed."""


LEAVING = ("Terminated", "Detached", "Standby")
"""Values of autoscaling/target-lifecycle-state with which an instance leaves the service of its group."""


@dataclass(frozen=True)
class Parts:
    """What the daemon works with."""

    instance: Instance
    variables: Mapping[str, str]
    directory: RuntimeDirectory
    timings: Timings
    make_client: Callable[[str], Client]
    """Makes the database client of a holder of the lease."""
    reporter: Reporter
    probe: BrokerProbe
    watcher: NoticeWatcher = field(default_factory=NoticeWatcher)
    groups: ControlGroups = field(default_factory=ControlGroups)
    jobs: JobQueue = field(default_factory=JobQueue)


def leaving(notices: Notices) -> str | None:
    """Why this instance ends soon; None if nothing says so."""
    if notices.spot is not None:
        return notices.spot.text
    if notices.lifecycle in LEAVING:
        return f"lifecycle state {notices.lifecycle}"
    return None


class Daemon:
    """One run of the controller."""

    def __init__(self, parts: Parts) -> None:
        self._directory, self._timings, self._variables = parts.directory, parts.timings, parts.variables
        host = parts.instance.host
        self._state = State(host, f"{host}/{secrets.token_hex(4)}")
        self._forget_login()
        self._session = DatabaseSession(lambda: parts.make_client(self._state.holder))
        self._gate = Gate(self._directory.gate, SCHEDULER_UNIT, pwd.getpwnam(SERVICE_USER).pw_gid)
        self._groups, self._jobs = parts.groups, parts.jobs
        self._reporter, self._watcher, self._probe = parts.reporter, parts.watcher, parts.probe
        self._health: Health | None = None
        self._reply: Reply | None = None
        self._stop = Stop()
        self._done = False
        self._placed = False
        self._sampled_at = 0.0
        self._requested_at = self._followed_at = -START_EVERY
        self._fed_at = -inf
        self._status = Status()
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Run until a signal has come and this host leads nothing."""
        self._stop.install()
        signal.set_wakeup_fd(self._woken)
        self._reporter.start()
        self._watcher.start()
        self._probe.start()
        # What an earlier run may have left runs under a lease that nobody renews.
        if self._directory.state.exists():
            self._groups.kill()
            self._request_followers("stop")
        say(f"event=started host={self._state.host} holder={self._state.holder}")
        notify.send("READY=1")
        while not self._done:
            self._turn()
        notify.send("STOPPING=1")

    def _turn(self) -> None:
        observed = self._observe()
        decision = decide(self._state, observed, self._timings)
        self._state = decision.state
        for action in decision.actions:
            self._carry_out(action)
        self._show(replace(observed, reply=None, killed=self._groups.killed()))
        self._stop_what_is_loaded()
        self._retry_followers()
        self._jobs.advance()
        if not self._done and self._reply is None:
            self._wait()

    def _wait(self) -> None:
        now = boottime()
        until = min(wake_at(self._state, self._timings), now + LONGEST_SLEEP)
        if self._state.phase is Phase.LEADING:
            until = min(until, self._sampled_at + SAMPLE_EVERY)
        if self._state.phase is Phase.ENDING or self._jobs.busy:
            until = min(until, now + KILL_POLL)
        watched = select.poll()
        for descriptor in (self._wake, self._session.fileno(), *self._gate.descriptors()):
            watched.register(descriptor, select.POLLIN)
        watched.poll(max(0.0, until - now) * 1000 + 0.5)
        with suppress(BlockingIOError):
            os.read(self._wake, 64)

    def _observe(self) -> Observation:
        now = boottime()
        reply, notified = self._session.take()
        if self._reply is not None:
            reply, self._reply = self._reply, None
        self._gate.handle()
        warm, alive = self._gate.warm, self._gate.alive
        if (
            warm is None
            and alive is None
            and now - self._requested_at >= START_EVERY
            and not self._stop.requested
        ):
            self._requested_at = now
            self._jobs.request("start", SCHEDULER_UNIT)
        return Observation(
            now,
            reply=reply,
            notified=notified,
            warm=warm,
            alive=alive,
            killed=self._groups.killed(),
            stuck=self._stuck(now, reply, alive),
            broker_lost=self._probe.lost(now),
            leaving=leaving(self._watcher.notices),
            stopping=self._stop.requested,
        )

    def _stuck(self, now: float, reply: Reply | None, alive: int | None) -> str | None:
        if self._health is None or alive is None:
            return None
        if reply is not None and reply.progress is not None and not reply.progress.locked:
            self._health.beats(now, reply.progress.heartbeat, busy=reply.progress.busy)
        away = self._state.lost_at is not None or self._state.unseen
        self._health.passes(now, excused=away or bool(self._state.locks))
        if now - self._sampled_at >= SAMPLE_EVERY:
            self._sampled_at = now
            self._health.sampled(now, processes.main_thread(alive))
            self._measure(now)
        return self._health.stuck(now)

    def _measure(self, now: float) -> None:
        if self._health is not None:
            self._reporter.figures = Figures(
                heartbeat_age=now - self._health.heartbeat_at,
                lease_age=now - self._state.renewed_at,
                epoch=self._state.epoch,
                takeovers=self._state.takeovers,
            )

    def _carry_out(self, action: Action) -> None:
        match action:
            case Request():
                self._reply = self._session.send(action)
            case Abandon():
                self._session.abandon()
            case Kill():
                self._kill()
            case OpenGate():
                self._open(action)
            case StartFollowers():
                self._followed_at = boottime()
                self._request_followers("start")
            case DumpStacks():
                self._dump(action.pid)
            case ReportUnhealthy():
                self._reporter.report_unhealthy(action.reason)
            case Note():
                say(
                    f"event={action.event} epoch={action.epoch} holder={self._state.holder} "
                    f"reason={action.reason}",
                    action.priority,
                )
            case Exit():
                self._done = True

    def _open(self, action: OpenGate) -> None:
        grant = self._session.grant
        if grant is None or grant.epoch != action.epoch:
            return  # the gate stays closed, and the decision sees no process behind it
        left = json.dumps({"holder": self._state.holder, "epoch": action.epoch})
        files.replace(self._directory.state, left, 0o600)
        entry = service_entry(self._variables, grant.user, grant.password)
        files.replace(self._directory.service, entry, 0o640)  # the unit's group is the scheduler's
        self._health = Health(boottime(), self._timings)
        self._gate.open(action.pid, action.epoch)

    def _kill(self) -> None:
        self._gate.close()
        self._forget_login()
        self._groups.kill()
        self._request_followers("stop")
        self._health = None
        self._reporter.figures = None
        self._requested_at = boottime()

    def _request_followers(self, verb: str) -> None:
        for unit in FOLLOWERS:
            self._jobs.request(verb, unit)

    def _stop_what_is_loaded(self) -> None:
        """Once: a host that boots has loaded a DAG processor, which no host needs where another one leads."""
        if not self._placed and (self._state.phase is Phase.LEADING or another_leads(self._state)):
            self._placed = True
            if self._state.phase is not Phase.LEADING:
                self._request_followers("stop")

    def _retry_followers(self) -> None:
        now = boottime()
        if self._state.phase is Phase.LEADING and now - self._followed_at >= START_EVERY:
            self._followed_at = now
            for unit in FOLLOWERS:
                self._jobs.retry(unit)

    def _forget_login(self) -> None:
        self._directory.service.unlink(missing_ok=True)

    def _dump(self, pid: int) -> None:
        with suppress(OSError):
            say((Path("/proc") / str(pid) / "stack").read_text(encoding="utf-8"))
        with suppress(OSError):
            signal.pidfd_send_signal(self._gate.pidfd, signal.SIGUSR2)

    def _show(self, observed: Observation) -> None:
        state = self._state
        status = (
            f"{state.phase}, epoch {state.epoch}" if state.epoch else f"{state.phase}, {_local(observed)}"
        )
        if state.lost_at is not None:
            status += ", no database"
        if observed.broker_lost:
            status += ", no broker"
        now = boottime()
        fed = state.may_feed_watchdog(replace(observed, now=now), self._timings)
        self._status.show(status)
        if fed and now - self._fed_at >= LONGEST_SLEEP / 2:
            notify.send("WATCHDOG=1")
            self._fed_at = now
        if state.phase is Phase.STANDBY and self._directory.state.exists():
            self._directory.state.unlink()


def _local(observed: Observation) -> str:
    return f"process {observed.warm} is warm" if observed.warm else "no scheduler is warm yet"
