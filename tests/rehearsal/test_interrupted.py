"""A run of the main job that is interrupted or killed half-way is taken away whole by ``down``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rehearsal.aws import session
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.processes import Process
from rehearsal.region import REPOSITORY, Region
from tests.rehearsal.traces import host_network, traces
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.root

BUILD = "from rehearsal.linux.rootfs import build_layer; from rehearsal.region import current; "
NAPPING_LAYER = BUILD + "build_layer(current(), 'napping', 'exec sleep 1000')"


def interrupted_like_a_terminal_does(process: subprocess.Popen[str]) -> None:
    """Ctrl-C reaches every process of the foreground group."""
    os.killpg(process.pid, signal.SIGINT)


def killed(process: subprocess.Popen[str]) -> None:
    """Only the one that was started; nothing is told to its children."""
    process.kill()


@contextlib.contextmanager
def started(region: Region, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the rehearsal, at the head of a process group of its own as a shell starts it.

    It hears Ctrl-C also where the tests themselves run in the background and were started deaf to it.
    """
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"AIRKILN_REHEARSAL": region.name},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(holds: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 400) -> None:
    def reached() -> bool:
        assert process.poll() is None, f"it ended by itself: {process.communicate()[0]}"
        return holds()

    until(reached, "the moment at which the test ends the process", seconds)


def programs(region: Region, group: str) -> dict[str, Process]:
    """The processes of a control group by the name of their program."""
    found = {}
    for pid in ControlGroup(region, group).processes():
        process = Process.of(pid)
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if process is not None:
                found[" ".join(words)] = process
    return found


@pytest.mark.parametrize("end", [interrupted_like_a_terminal_does, killed])
def test_down_after_a_run_that_ended_during_the_bake(
    doomed: Region, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    before = host_network()
    log = doomed.logs / "bake.log"
    log.unlink(missing_ok=True)
    (doomed.images / "baked.json").unlink(missing_ok=True)
    with started(doomed, "-m", "rehearsal", "up", "--port", str(free_port())) as process:
        wait_for(lambda: log.exists() and "TASK [" in log.read_text(), process)
        baking = programs(doomed, session.BAKE)
        assert any("ansible-playbook" in words for words in baking), baking.keys()
        end(process)
        said, _ = process.communicate(timeout=180)
    if end is interrupted_like_a_terminal_does:
        assert process.returncode == 130
        assert "make rehearse-down" in said.splitlines()[-1]
        assert "Traceback" not in said
        assert not any(each.alive() for each in baking.values())
    assert traces(doomed) != []
    session.down(doomed)
    assert traces(doomed) == []
    assert not any(each.alive() for each in baking.values())
    assert host_network() == before


@pytest.mark.parametrize("end", [interrupted_like_a_terminal_does, killed])
def test_down_after_a_root_whose_building_was_cut_off(
    doomed: Region, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    def nap() -> list[Process]:
        return [each for words, each in programs(doomed, "build").items() if words.startswith("sleep 1000")]

    with started(doomed, "-c", NAPPING_LAYER) as process:
        wait_for(lambda: bool(nap()), process)
        napping = nap()[0]
        end(process)
        process.communicate(timeout=180)
    session.down(doomed)
    assert not napping.alive()
    assert traces(doomed) == []
    assert not list((doomed.cache / "layers").glob("napping-????????????"))
