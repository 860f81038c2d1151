"""The build of Packer in the background of `up`."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import pytest

from rehearsal import region as settings
from rehearsal.commands import packer, up
from rehearsal.deployment import bake
from rehearsal.progress import Stages
from rehearsal.region import Region


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Region:
    monkeypatch.setattr(settings, "REPOSITORY", tmp_path)
    monkeypatch.delenv("PACKER", raising=False)
    found = Region("unit")
    found.prepare()
    return found


def built(region: Region, program: str) -> tuple[str, str]:
    """The output of the stage and the log, for a build by a Python program."""
    out = io.StringIO()
    stages = Stages(1, out, live=False)
    with packer.build_in_background(region, [sys.executable, "-c", program]) as build:
        assert build is not None
        with stages.stage("Packer", build.log):
            build.wait(stages)
    return out.getvalue(), build.log.read_text()


def test_the_output_is_in_a_log_and_not_on_the_terminal(region: Region) -> None:
    shown, log = built(region, "print('compiler noise')")
    assert log == "compiler noise\n"
    assert shown.startswith("[1/1] Packer")
    assert shown.rstrip().endswith("built before")


def test_a_build_that_fails_is_remarked_and_nothing_more(region: Region) -> None:
    shown, _ = built(region, "raise SystemExit('no Go')")
    assert "cannot be built here" in shown
    assert "packer.log" in shown


def test_an_interruption_ends_the_build(region: Region) -> None:
    build = None

    def interrupt() -> None:
        nonlocal build
        with packer.build_in_background(region, ["sleep", "600"]) as build:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert build is not None
    assert build.ended()


def test_a_packer_of_the_users_own_is_used_as_it_is(
    region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "packer"
    own.touch(0o755)
    monkeypatch.setenv("PACKER", str(own))
    with packer.build_in_background(region, ["false"]) as build:
        assert build is None
    # As make names it, from the top of the repository.
    monkeypatch.setattr(bake, "BUILT_PACKER", tmp_path / "build/packer")
    (tmp_path / "build").mkdir(exist_ok=True)
    (tmp_path / "build/packer").touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACKER", "build/packer")
    with packer.build_in_background(region, ["true"]) as build:
        assert build is not None


def test_the_set_up_of_make_is_the_first_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(up.STARTED_VARIABLE, str(time.time() - 23.5))
    out = io.StringIO()
    assert up.first_stages(up.STAGES, out).elapsed() >= 23.5
    assert out.getvalue().startswith(f"[1/{up.STAGES + 1}] Set-up")


@pytest.mark.parametrize("started", ["", "yesterday"])
def test_without_make_there_is_no_set_up(monkeypatch: pytest.MonkeyPatch, started: str) -> None:
    monkeypatch.setenv(up.STARTED_VARIABLE, started)
    out = io.StringIO()
    assert up.first_stages(up.STAGES, out).elapsed() < 23.5
    assert out.getvalue() == ""
