"""The network comes and goes, and ``down`` leaves nothing, whatever was killed before."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal import control
from rehearsal.aws import READY
from rehearsal.machine import Machine, machines
from rehearsal.network import Network
from rehearsal.process import ControlGroup, Process
from rehearsal.settings import GATEWAY, Region

pytestmark = pytest.mark.root


@pytest.fixture
def doomed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    """A second rehearsal, to be broken."""
    monkeypatch.setenv("AIRKILN_REHEARSAL", "doomed")
    region = Region("doomed")
    control.down(region)
    yield region
    control.down(region)


def traces(region: Region) -> list[str]:
    """What a rehearsal shows outside build/: mounts, namespaces, processes, control groups, sockets."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if "doomed" in line]
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    namespaces = [line for line in listed.splitlines() if "doomed" in line]
    groups = [str(folder) for folder in ControlGroup(region).folders if folder.exists()]
    left = [str(path) for path in Path("/run/systemd/nspawn/propagate").glob("*doomed*")]
    return mounts + namespaces + groups + left + commands(region)


def commands(region: Region) -> list[str]:
    """Command lines and roots of living processes that name the rehearsal."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            root = str((process / "root").readlink())
        except OSError:
            continue
        if str(region.home) in line + root or f"/{region.namespace} " in line:
            found.append(f"{process.name}: {line}")
    return found


def host_network() -> str:
    """Addresses, links, rules and forwarding of the host itself."""
    asked = (["ip", "-o", "address"], ["ip", "rule"], ["ip", "route"], ["nft", "list", "ruleset"])
    shown = [subprocess.run(each, check=True, capture_output=True, text=True).stdout for each in asked]
    return "".join(shown) + Path("/proc/sys/net/ipv4/ip_forward").read_text()


def running(region: Region) -> Machine:
    control.start(region)
    name, _ = control.launch(region, "debian", {})
    machine = Machine(region, name)
    machine.wait_until_booted(90)
    return machine


def nspawn(machine: Machine) -> Process:
    found = Process.read(machine.folder / "nspawn.json")
    assert found is not None
    return found


def test_the_network_comes_and_goes_and_the_host_keeps_its_own(doomed: Region) -> None:
    before = host_network()
    network = Network(doomed)
    network.setup()
    network.setup()
    assert network.exists()
    assert host_network() == before
    control.down(doomed)
    assert host_network() == before
    assert traces(doomed) == []


def test_a_port_is_open_on_the_host_while_the_network_is_up(doomed: Region) -> None:
    network = Network(doomed)
    network.setup()
    network.forward(18422, GATEWAY, 22)
    listening = ["ss", "-Htln", "sport = :18422"]
    assert "127.0.0.1:18422" in subprocess.run(listening, check=True, capture_output=True, text=True).stdout
    control.down(doomed)
    assert subprocess.run(listening, check=True, capture_output=True, text=True).stdout == ""


def test_a_running_rehearsal_shows_the_traces_that_down_removes(doomed: Region) -> None:
    machine = running(doomed)
    shown = traces(doomed)
    assert any("nspawn" in trace for trace in shown)
    assert any("rehearsal.aws" in trace or "slirp4netns" in trace for trace in shown)
    control.down(doomed)
    assert traces(doomed) == []
    assert not machine.folder.exists()


def test_down_after_the_daemon_was_killed(doomed: Region) -> None:
    running(doomed)
    daemon = Process.read(doomed.run / READY)
    assert daemon is not None
    daemon.send(signal.SIGKILL)
    assert daemon.wait(5)
    control.down(doomed)
    assert traces(doomed) == []


def test_down_after_an_nspawn_was_killed(doomed: Region) -> None:
    machine = running(doomed)
    leader = machine.leader()
    assert leader is not None
    watched = Process.of(leader)
    assert watched is not None
    nspawn(machine).send(signal.SIGKILL)
    assert watched.wait(10), "the machine's systemd outlived its nspawn"
    control.down(doomed)
    assert traces(doomed) == []


def test_down_after_everything_was_killed_at_once(doomed: Region) -> None:
    running(doomed)
    for pid in ControlGroup(doomed).processes():
        os.kill(pid, signal.SIGKILL)
    control.down(doomed)
    control.down(doomed)
    assert traces(doomed) == []


def test_down_after_half_a_start(doomed: Region) -> None:
    Network(doomed).setup()
    doomed.machines.joinpath("i-0half", "upper").mkdir(parents=True)
    control.down(doomed)
    assert traces(doomed) == []
    assert machines(doomed) == []


def test_images_survive_down_under_their_own_ids(doomed: Region) -> None:
    machine = running(doomed)
    machine.execute(["sh", "-c", "echo survives > /srv/file"])
    with Network(doomed).visit():
        image = control.client("ec2").create_image(InstanceId=machine.name, Name="survivor")["ImageId"]
        waiter = control.client("ec2").get_waiter("image_available")
        waiter.wait(ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    control.down(doomed)
    control.start(doomed)
    name, _ = control.launch(doomed, image, {})
    again = Machine(doomed, name)
    again.wait_until_booted(90)
    assert again.execute(["cat", "/srv/file"]).stdout == "survives\n"
    with Network(doomed).visit():
        control.client("ec2").deregister_image(ImageId=image)
