"""The controller's end of the gate, with real sockets and the scheduler's own end of it in processes."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from airkiln.failover.gate import LONGEST_LINE, MOST, Gate
from airkiln.roles import DAG_PROCESSOR_UNIT, SCHEDULER_UNIT
from tests.unit.airkiln.failover.scheduler import PATIENCE, Scheduler, Start, belongs


class Host:
    """A gate, and a folder in place of /proc that says who is of the scheduler's unit."""

    def __init__(self, folder: Path) -> None:
        self.path, self.proc = folder / "gate", folder / "proc"
        self.gate = Gate(self.path, SCHEDULER_UNIT, os.getegid(), self.proc)

    def waits(self) -> None:
        """Until something happens at the gate; fails if nothing does."""
        watched = select.poll()
        for descriptor in self.gate.descriptors():
            watched.register(descriptor, select.POLLIN)
        assert watched.poll(PATIENCE * 1000), "nothing happens at the gate"
        self.gate.handle()

    def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self.waits()

    def has(self, scheduler: Scheduler, unit: str = SCHEDULER_UNIT) -> Scheduler:
        belongs(self.proc, scheduler.pid, unit)
        return scheduler

    def says(self, *words: bytes) -> socket.socket:
        """A connection of this very process, which is of the unit."""
        if not (self.proc / str(os.getpid())).exists():
            belongs(self.proc, os.getpid())
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(str(self.path))
        for word in words:
            self.gate.handle()
            with suppress(BrokenPipeError):  # it was sent away before it could speak
                connection.sendall(word)
        self.gate.handle()
        self.gate.handle()
        return connection


def gone(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    found = Host(tmp_path)
    yield found
    found.gate.close()


def test_a_scheduler_waits_and_is_let_through_with_its_epoch(host: Host, start: Start) -> None:
    scheduler = host.has(start(host.path))
    host.until(lambda: host.gate.warm == scheduler.pid)
    before = (host.gate.warm, host.gate.alive)
    assert host.gate.open(scheduler.pid, 7)
    assert scheduler.epoch() == 7
    assert [before, (host.gate.warm, host.gate.alive)] == [(scheduler.pid, None), (None, scheduler.pid)]


def test_its_end_is_seen_at_once(host: Host, start: Start) -> None:
    scheduler = host.has(start(host.path))
    host.until(lambda: host.gate.warm == scheduler.pid)
    host.gate.open(scheduler.pid, 7)
    scheduler.epoch()
    scheduler.signal(signal.SIGKILL)
    host.waits()
    assert host.gate.alive is None


def test_an_end_that_came_between_looking_and_waiting_wakes_all_the_same(host: Host, start: Start) -> None:
    scheduler = host.has(start(host.path))
    host.until(lambda: host.gate.warm == scheduler.pid)
    host.gate.open(scheduler.pid, 7)
    scheduler.signal(signal.SIGKILL)
    scheduler.ended()
    host.waits()


def test_the_end_of_one_that_waits_is_seen_as_well(host: Host, start: Start) -> None:
    scheduler = host.has(start(host.path))
    host.until(lambda: host.gate.warm == scheduler.pid)
    scheduler.signal(signal.SIGKILL)
    host.until(lambda: host.gate.warm is None)
    assert not host.gate.open(scheduler.pid, 7)
    assert host.gate.alive is None


LEAVES_A_CHILD = """
import os, signal, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(b'{"state": "warm"}\\n')
if os.fork() == 0:
    signal.alarm(60)
    sys.stdin.read()  # until the test lets go
else:
    signal.pause()
"""


def test_a_child_that_keeps_its_connection_does_not_hide_its_end(host: Host) -> None:
    command = [sys.executable, "-c", LEAVES_A_CHILD, str(host.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        belongs(host.proc, process.pid)
        host.until(lambda: host.gate.warm == process.pid)
        process.kill()
        host.until(lambda: host.gate.warm is None)


def test_a_stopped_scheduler_lives(host: Host, start: Start) -> None:
    scheduler = host.has(start(host.path))
    host.until(lambda: host.gate.warm == scheduler.pid)
    host.gate.open(scheduler.pid, 7)
    scheduler.epoch()
    scheduler.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, scheduler.pid, os.WSTOPPED | os.WNOWAIT)
    host.gate.handle()
    assert host.gate.alive == scheduler.pid


def test_closed_the_scheduler_ends_with_its_connection(host: Host, start: Start) -> None:
    scheduler = host.has(start(host.path))
    host.until(lambda: host.gate.warm == scheduler.pid)
    host.gate.open(scheduler.pid, 7)
    scheduler.epoch()
    pidfd = host.gate.pidfd
    host.gate.close()
    assert gone(pidfd)
    assert scheduler.ended() == -signal.SIGIO
    assert (host.gate.alive, host.gate.pidfd) == (None, -1)


def test_the_next_one_waits_while_another_runs(host: Host, start: Start) -> None:
    first = host.has(start(host.path))
    host.until(lambda: host.gate.warm == first.pid)
    host.gate.open(first.pid, 7)
    second = host.has(start(host.path))
    host.until(lambda: host.gate.warm == second.pid)
    assert host.gate.alive == first.pid


def test_opening_to_another_ends_the_one_before(host: Host, start: Start) -> None:
    first = host.has(start(host.path))
    host.until(lambda: host.gate.warm == first.pid)
    host.gate.open(first.pid, 7)
    pidfd = host.gate.pidfd
    second = host.has(start(host.path))
    host.until(lambda: host.gate.warm == second.pid)
    host.gate.open(second.pid, 8)
    assert gone(pidfd)
    assert second.epoch() == 8
    assert first.ended() < 0
    assert host.gate.alive == second.pid


def test_of_two_that_wait_the_newest_is_taken_and_the_other_stays(host: Host, start: Start) -> None:
    first = host.has(start(host.path))
    host.until(lambda: host.gate.warm == first.pid)
    second = host.has(start(host.path))
    host.until(lambda: host.gate.warm == second.pid)
    host.gate.open(second.pid, 7)
    assert host.gate.warm == first.pid


@pytest.mark.parametrize("unit", [DAG_PROCESSOR_UNIT, f"not-{SCHEDULER_UNIT}", f"{SCHEDULER_UNIT}.wants"])
def test_a_process_of_another_unit_is_refused_by_name(
    host: Host, start: Start, unit: str, capfd: pytest.CaptureFixture[str]
) -> None:
    stranger = host.has(start(host.path), unit)
    refusals = ""
    while "gate-refused" not in refusals:
        host.waits()
        refusals += capfd.readouterr().err
    assert f"process {stranger.pid} is not of {SCHEDULER_UNIT}" in refusals
    assert host.gate.warm is None
    assert not host.gate.open(stranger.pid, 7)


def test_a_process_in_a_group_below_the_units_is_of_the_unit(host: Host, start: Start) -> None:
    scheduler = host.has(start(host.path), f"{SCHEDULER_UNIT}/below")
    host.until(lambda: host.gate.warm == scheduler.pid)


def test_a_process_that_proc_does_not_know_is_refused(host: Host) -> None:
    (host.proc / str(os.getpid())).mkdir(parents=True)
    connection = host.says(b'{"state": "warm"}\n')
    assert connection.recv(1) == b""
    assert host.gate.warm is None


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"warm\n",
        b"[]\n",
        b'{"state": "hot"}\n',
        b'{"go": 7}\n',
        b'"\xff"\n',
        b"x" * (LONGEST_LINE + 1),
    ],
)
def test_whoever_says_something_else_is_sent_away(host: Host, line: bytes) -> None:
    connection = host.says(line)
    assert connection.recv(1) == b""
    assert host.gate.warm is None


def test_a_line_may_come_in_pieces(host: Host) -> None:
    with host.says(b'{"state"', b': "warm"', b"}\n"):
        assert host.gate.warm == os.getpid()


def test_half_a_line_is_no_word(host: Host) -> None:
    with host.says(b'{"state": "warm"}'):
        assert host.gate.warm is None


def test_who_speaks_again_is_sent_away(host: Host) -> None:
    connection = host.says(b'{"state": "warm"}\n', b"!")
    assert connection.recv(1) == b""
    assert host.gate.warm is None


def test_the_gate_is_its_owners_and_groups(host: Host) -> None:
    found = host.path.stat()
    assert stat.filemode(found.st_mode) == "srw-rw----"
    assert found.st_gid == os.getegid()


def test_a_gate_that_an_earlier_controller_left_is_replaced(host: Host, tmp_path: Path) -> None:
    again = Gate(host.path, SCHEDULER_UNIT, os.getegid(), tmp_path / "proc")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(host.path))
        assert select.select(again.descriptors(), [], [], PATIENCE)[0]


def test_a_flood_of_silent_connections_takes_few_descriptors_and_lets_the_scheduler_in(host: Host) -> None:
    belongs(host.proc, os.getpid())
    flood = []
    for _ in range(300):
        flood.append(socket.socket(socket.AF_UNIX))
        flood[-1].connect(str(host.path))
        host.gate.handle()
    assert len(host.gate.descriptors()) <= MOST + 1
    with host.says(b'{"state": "warm"}\n'):
        assert host.gate.warm == os.getpid()
        for each in flood:
            each.close()


def test_a_process_that_waits_is_not_sent_away_by_silent_ones(host: Host) -> None:
    with host.says(b'{"state": "warm"}\n'):
        silent = [host.says() for _ in range(2 * MOST)]
        assert host.gate.warm == os.getpid()
        for each in silent:
            each.close()


def test_a_stranger_is_sent_away_before_it_says_anything(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    belongs(host.proc, os.getpid(), DAG_PROCESSOR_UNIT)
    for _ in range(20):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(str(host.path))
        host.gate.handle()
        assert connection.recv(1) == b""
        connection.close()
    assert len(host.gate.descriptors()) == 1
    assert capfd.readouterr().err.count("event=gate-refused") == 1


def test_where_no_descriptor_is_left_the_controller_goes_on(
    host: Host, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Exhausted:
        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(host.gate, "_socket", Exhausted())
    host.gate.handle()
    assert "event=gate-failed reason=Too many open files" in capfd.readouterr().err
