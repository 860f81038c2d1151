"""What the local EC2 boots is a machine, and what EC2 does to an instance happens to the machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rehearsal.region import REPOSITORY
from tests.rehearsal.conftest import Cloud, Instance
from tests.support.waiting import until

pytestmark = pytest.mark.root


def test_an_instance_boots_with_every_unit_well(instance: Instance) -> None:
    assert instance.root("systemctl is-system-running") == "running"
    assert instance.root("cloud-init status") == "status: done"


def test_its_key_pair_logs_in_and_may_become_root(instance: Instance) -> None:
    assert instance.ssh("sudo id -un").stdout == "root\n"


def test_another_key_does_not_log_in(instance: Instance, new_key: Callable[[str], Path]) -> None:
    refused = instance.ssh("true", key=new_key("stranger"))
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_it_has_the_address_and_the_name_that_ec2_says(instance: Instance) -> None:
    assert f"inet {instance.address}/16" in instance.root("ip -4 address show eth0")
    assert instance.root("hostname") == "ip-" + str(instance.address).replace(".", "-")


def test_it_reaches_the_network_outside_by_name(instance: Instance) -> None:
    assert "200" in instance.root("curl -sI http://deb.debian.org/debian/").splitlines()[0]


def test_a_sandboxed_unit_runs_in_it(instance: Instance) -> None:
    sandbox = "PrivateTmp=yes ProtectSystem=strict RestrictNamespaces=yes DynamicUser=yes NoNewPrivileges=yes"
    properties = " ".join(f"--property={each}" for each in (*sandbox.split(), "SetCredential=word:secret"))
    told = instance.root(f"systemd-run --quiet --pipe --wait {properties} systemd-creds cat word")
    assert told == "secret"


def test_an_image_carries_a_file_to_the_next_instance(cloud: Cloud) -> None:
    first = cloud.launch().boot()
    first.root("echo carried > /srv/file; rm /etc/debian_version; mv /usr/share/zoneinfo/Asia /srv/moved")
    image = cloud.image_of(first, "carries")
    second = cloud.launch(image).boot()
    assert second.root("cat /srv/file") == "carried"
    assert second.root("test ! -e /etc/debian_version && test -e /srv/moved/Tokyo && echo so") == "so"
    assert second.root("systemctl is-system-running") == "running"


def test_an_image_of_an_instance_leaves_it_running_again(cloud: Cloud) -> None:
    source = cloud.launch().boot()
    source.root("echo before > /srv/file")
    cloud.image_of(source, "of-a-running-one")
    assert source.boot().root("cat /srv/file") == "before"


def test_stop_keeps_disk_and_address_and_start_brings_them_back(cloud: Cloud) -> None:
    kept = cloud.launch().boot()
    kept.root("echo kept > /srv/file")
    with cloud.inside():
        cloud.ec2().stop_instances(InstanceIds=[kept.name])
    cloud.wait_for(kept, "stopped")
    assert not kept.machine.running()
    with cloud.inside():
        cloud.ec2().start_instances(InstanceIds=[kept.name])
    cloud.wait_for(kept, "running")
    assert kept.boot().root("cat /srv/file") == "kept"
    assert str(kept.address) in kept.root("ip -4 address show eth0")


def test_an_instance_that_powers_itself_off_is_stopped(cloud: Cloud) -> None:
    leaving = cloud.launch().boot()
    leaving.root("systemctl poweroff", check=False)
    cloud.wait_for(leaving, "stopped")


def test_an_instance_that_reboots_comes_back(cloud: Cloud) -> None:
    restless = cloud.launch().boot()
    leader = restless.machine.leader()
    restless.root("echo still > /srv/file; systemctl reboot", check=False)
    until(lambda: restless.machine.leader() not in (None, leader), "the machine boots again")
    assert restless.boot().root("cat /srv/file") == "still"
    assert cloud.state(restless) == "running"


def test_terminate_deletes_the_disk_and_deregister_the_layer(cloud: Cloud) -> None:
    doomed = cloud.launch().boot()
    image = cloud.image_of(doomed, "doomed")
    layer = cloud.region.images / image
    assert layer.is_dir()
    with cloud.inside():
        cloud.ec2().terminate_instances(InstanceIds=[doomed.name])
    cloud.wait_for(doomed, "terminated")
    assert not doomed.machine.folder.exists()
    with cloud.inside():
        cloud.ec2().deregister_image(ImageId=image)
    assert not layer.exists()


def rehearsal(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m rehearsal`` as a user types it."""
    command = [sys.executable, "-m", "rehearsal", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True, timeout=60)


def test_status_lists_the_network_the_machines_and_the_images(instance: Instance) -> None:
    done = rehearsal("status")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["network", "up"]
    assert ["machine", instance.name, str(instance.address), "running"] in [line.split() for line in lines]
    assert any(line.split()[0] == "image" and "debian-13-" in line for line in lines)


def test_exec_runs_a_command_in_a_machine_and_returns_its_status(instance: Instance) -> None:
    done = rehearsal("exec", instance.name, "--", "sh", "-c", "hostname; exit 3")
    assert done.stdout == "ip-" + str(instance.address).replace(".", "-") + "\n"
    assert done.returncode == 3


def test_journal_takes_the_options_of_journalctl(instance: Instance) -> None:
    instance.root("logger --tag seen-by-the-test 'a line of its own'")
    done = rehearsal("journal", instance.name, "--identifier=seen-by-the-test", "--output=cat")
    assert (done.stdout, done.returncode) == ("a line of its own\n", 0)


def test_a_command_for_a_machine_that_is_not_there_names_those_that_are(instance: Instance) -> None:
    done = rehearsal("exec", "i-nowhere", "true")
    assert done.returncode == 1
    assert instance.name in done.stderr
