"""The network comes and goes, and ``down`` leaves nothing, whatever was killed before."""

from __future__ import annotations

import signal
import subprocess

import pytest

from rehearsal.aws import session
from rehearsal.aws.client import client
from rehearsal.aws.instances import launch_instance
from rehearsal.aws.server import READY
from rehearsal.linux.addresses import GATEWAY, POSTGRES
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.machine import Machine, machines
from rehearsal.linux.network import Network
from rehearsal.linux.processes import Process
from rehearsal.region import Region
from tests.rehearsal.traces import host_network, traces
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.root


def running(region: Region) -> Machine:
    session.start(region)
    name, _ = launch_instance(region, "debian", {})
    machine = Machine(region, name)
    machine.wait_until_booted(PATIENCE)
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
    session.down(doomed)
    assert host_network() == before
    assert traces(doomed) == []


def test_a_port_is_open_on_the_host_while_the_network_is_up(doomed: Region) -> None:
    network = Network(doomed)
    network.setup()
    port = free_port()
    network.forward(port, GATEWAY, 22)
    listening = ["ss", "-Htln", f"sport = :{port}"]
    assert f"127.0.0.1:{port}" in subprocess.run(listening, check=True, capture_output=True, text=True).stdout
    session.down(doomed)
    assert subprocess.run(listening, check=True, capture_output=True, text=True).stdout == ""


def test_an_open_port_can_be_led_elsewhere(doomed: Region) -> None:
    network = Network(doomed)
    network.setup()
    first = free_port()
    network.forward(first, GATEWAY, 22)
    second = free_port()
    network.forward(second, GATEWAY, 23)
    network.forward(first, POSTGRES, 5432)
    listed = network.inside("nft", "list", "chain", "ip", "airkiln", "in")
    rules = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    led = {line.split("dport ")[1].strip() for line in rules.splitlines() if "dport" in line}
    assert led == {f"{first} dnat to {POSTGRES}:5432", f"{second} dnat to {GATEWAY}:23"}


def test_a_running_rehearsal_shows_the_traces_that_down_removes(doomed: Region) -> None:
    machine = running(doomed)
    shown = traces(doomed)
    assert any("nspawn" in trace for trace in shown)
    assert any("rehearsal.aws.server" in trace or "slirp4netns" in trace for trace in shown)
    session.down(doomed)
    assert traces(doomed) == []
    assert not machine.folder.exists()


def test_down_after_the_daemon_was_killed(doomed: Region) -> None:
    running(doomed)
    daemon = Process.read(doomed.run / READY)
    assert daemon is not None
    daemon.send(signal.SIGKILL)
    assert daemon.wait(5)
    session.down(doomed)
    assert traces(doomed) == []


def test_down_after_an_nspawn_was_killed(doomed: Region) -> None:
    machine = running(doomed)
    leader = machine.leader()
    assert leader is not None
    watched = Process.of(leader)
    assert watched is not None
    nspawn(machine).send(signal.SIGKILL)
    assert watched.wait(10), "the machine's systemd outlived its nspawn"
    session.down(doomed)
    assert traces(doomed) == []


def test_down_after_everything_was_killed_at_once(doomed: Region) -> None:
    running(doomed)
    ControlGroup(doomed).send(signal.SIGKILL)
    session.down(doomed)
    session.down(doomed)
    assert traces(doomed) == []


def test_down_after_half_a_start(doomed: Region) -> None:
    Network(doomed).setup()
    doomed.machines.joinpath("i-0half", "upper").mkdir(parents=True)
    session.down(doomed)
    assert traces(doomed) == []
    assert machines(doomed) == []


def test_images_survive_down_under_their_own_ids(doomed: Region) -> None:
    machine = running(doomed)
    machine.execute(["sh", "-c", "echo survives > /srv/file"])
    with Network(doomed).visit():
        image = client("ec2").create_image(InstanceId=machine.name, Name="survivor")["ImageId"]
        waiter = client("ec2").get_waiter("image_available")
        waiter.wait(ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    session.down(doomed)
    session.start(doomed)
    name, _ = launch_instance(doomed, image, {})
    again = Machine(doomed, name)
    again.wait_until_booted(PATIENCE)
    assert again.execute(["cat", "/srv/file"]).stdout == "survives\n"
    with Network(doomed).visit():
        client("ec2").deregister_image(ImageId=image)
