"""The stage printer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.stages import TAIL, Stages


def ticking() -> Iterator[float]:
    yield from (0.0, 0.0, 2.5, 2.5, 2.5)


def test_a_stage_says_when_it_begins_and_how_long_it_took() -> None:
    out = io.StringIO()
    clock = ticking()
    stages = Stages(2, out, live=False, clock=lambda: next(clock))
    with stages.stage("Base image"):
        stages.detail("unpacking")
    began, detail, ended = out.getvalue().splitlines()
    assert began == "[1/2] Base image …"
    assert detail.strip() == "unpacking"
    assert ended.startswith("[1/2] Base image")
    assert ended.endswith("2.5 s")


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
