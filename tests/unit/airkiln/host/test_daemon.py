"""The loop of a daemon: readiness, watchdog, the end by a signal, and a start that fails slowly."""

from __future__ import annotations

import os
import signal
import time

import pytest

from airkiln.errors import AirkilnError
from airkiln.host.daemon import Status, Stop, run_every, starting


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What systemd is told."""
    messages: list[str] = []
    monkeypatch.setattr("airkiln.systemd.notify.send", messages.append)
    return messages


def test_each_turn_feeds_the_watchdog_until_a_signal_comes(
    sent: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    run_every(0.001, turn, Stop())
    assert sent == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]
    assert capfd.readouterr().err == "event=stopping reason=SIGTERM\n"


@pytest.mark.usefixtures("sent")
def test_a_signal_ends_the_wait_for_the_next_turn() -> None:
    began = time.monotonic()
    run_every(600, lambda: os.kill(os.getpid(), signal.SIGINT), Stop())
    assert time.monotonic() - began < 60


@pytest.mark.usefixtures("sent")
def test_a_turn_that_takes_longer_than_its_interval_is_followed_at_once() -> None:
    clock = iter([0.0, 5.0, 5.0, 10.0])
    stop = Stop()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    stop.wait = wait  # type: ignore[method-assign] # the test's own
    run_every(1.0, lambda: None, stop, lambda: next(clock))
    assert waits == [-4.0, -4.0]


def test_a_status_is_sent_when_it_changes(sent: list[str]) -> None:
    status = Status()
    assert [status.show(text) for text in ("a", "a", "b")] == [True, False, True]
    assert sent == ["STATUS=a", "STATUS=b"]


@pytest.mark.parametrize(("under_systemd", "slept"), [(True, True), (False, False)])
def test_a_start_that_is_refused_lasts_ten_seconds_under_systemd(
    monkeypatch: pytest.MonkeyPatch, under_systemd: bool, slept: bool
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    if under_systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    with pytest.raises(AirkilnError), starting():
        raise AirkilnError("no")
    assert [round(each) for each in waits] == ([10] if slept else [])
