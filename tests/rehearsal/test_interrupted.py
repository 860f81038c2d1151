"""A run of the main job that is interrupted or killed half-way is taken away whole by ``down``."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rehearsal.aws import session
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.processes import Process
from rehearsal.region import Region
from tests.rehearsal.traces import host_network, traces
from tests.support.interruption import interrupted_like_a_terminal_does, killed, started, wait_for
from tests.support.ports import free_port

pytestmark = pytest.mark.root

BUILD = "from rehearsal.linux.rootfs import build_layer; from rehearsal.region import current; "
NAPPING_LAYER = BUILD + "build_layer(current(), 'napping', 'exec sleep 1000')"


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
