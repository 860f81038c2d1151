"""The stage printer."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.progress import TAIL, Stages


def ticking() -> Iterator[float]:
    yield from (0.0, 0.0, 2.5, 2.5, 2.5)


def test_a_stage_says_when_it_begins_and_how_long_it_took() -> None:
    out = io.StringIO()
    clock = ticking()
    stages = Stages(2, out, live=False, clock=lambda: next(clock))
    with stages.stage("Root filesystem"):
        stages.detail("unpacking")
    began, detail, ended = out.getvalue().splitlines()
    assert began == "[1/2] Root filesystem …"
    assert detail.strip() == "unpacking"
    assert ended.startswith("[1/2] Root filesystem")
    assert ended.endswith("2.5 s")


def test_an_earlier_stage_is_the_first_and_counts() -> None:
    out = io.StringIO()
    stages = Stages(2, out, live=False, clock=lambda: 10.0)
    stages.earlier("Set-up", 23.25)
    with stages.stage("Image"):
        pass
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("[1/2] Set-up")
    assert lines[0].endswith("23.2 s")
    assert lines[1] == "[2/2] Image …"
    assert stages.elapsed() == pytest.approx(23.25)


def test_a_failing_stage_shows_the_end_of_its_log_and_where_it_is(tmp_path: Path) -> None:
    log = tmp_path / "bake.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    out = io.StringIO()

    def fail() -> None:
        with Stages(1, out, live=False).stage("Bake", log):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    shown = out.getvalue()
    assert "failed after" in shown
    assert "line 99\n" in shown
    assert f"line {99 - TAIL}\n" not in shown
    assert str(log) in shown


def test_a_live_line_is_wiped_before_the_result() -> None:
    out = io.StringIO()
    with Stages(1, out, live=True).stage("Network"):
        pass
    assert out.getvalue().startswith("\r\033[K[1/1] Network")


def test_what_became_of_a_stage_stands_behind_its_time() -> None:
    out = io.StringIO()
    stages = Stages(2, out, live=False, clock=lambda: 0.0)
    with stages.stage("Image"):
        stages.remark("baked before")
    with stages.stage("Next"):
        pass
    lines = out.getvalue().splitlines()
    assert lines[1].endswith("0.0 s  baked before")
    assert lines[3].endswith("0.0 s")


def test_an_interrupted_stage_shows_no_log(tmp_path: Path) -> None:
    log = tmp_path / "bake.log"
    log.write_text("not wanted now\n")
    out = io.StringIO()

    def interrupt() -> None:
        with Stages(1, out, live=False).stage("Bake", log):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert "interrupted after" in out.getvalue()
    assert "not wanted now" not in out.getvalue()


@pytest.mark.timeout(30)
def test_a_live_line_is_never_wider_than_the_terminal() -> None:
    control, terminal = pty.openpty()
    columns = 80
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(terminal, "w") as out, os.fdopen(control, "rb", buffering=0) as screen:
        stages = Stages(1, out)
        shown = b""
        with stages.stage("Bake"):
            stages.detail("a task whose name is longer than any terminal is wide, " * 5)
            while b"a task" not in shown:
                shown += screen.read(4096)
        shown += screen.read(4096)
    lines = [line for line in shown.decode().replace("\r\n", "\r").split("\r") if line]
    assert max(len(line.replace("\x1b[K", "")) for line in lines) == columns - 1
