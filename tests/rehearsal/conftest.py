"""A rehearsal of the tests' own, beside one that may be running: names, folders and namespaces differ."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rehearsal.aws import session
from rehearsal.aws.client import Client, client
from rehearsal.aws.instances import launch_instance
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import Machine, machines
from rehearsal.linux.network import Network, wait_for_port
from rehearsal.region import Region
from tests.support.regions import BAKED, BARE, DOOMED
from tests.support.waiting import PATIENCE, until

LINES = 60
"""How much of a machine's journal a failure shows."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure, show what our units said on the machines of the tests."""
    report = yield
    if report.failed:
        for machine in [
            each for region in (BARE, DOOMED, BAKED) for each in machines(region) if each.running()
        ]:
            asked = ["journalctl", "--no-pager", "--lines=400", "--unit=airkiln-*", "--unit=airflow-*"]
            with contextlib.suppress(RehearsalError):
                said = machine.execute(asked, check=False, timeout=20).stdout.splitlines()
                lines = [line for line in said if "[http.access]" not in line][-LINES:]
                if lines and "-- No entries --" not in lines:
                    report.sections.append((f"journal of {machine.name}", "\n".join(lines)))
    return report


@pytest.fixture(scope="session")
def region() -> Iterator[Region]:
    """A running rehearsal; what an earlier, killed run of the tests left is removed first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRKILN_REHEARSAL", BARE.name)
        session.down(BARE)
        try:
            session.start(BARE)
            yield BARE
        finally:
            session.down(BARE)


@dataclass
class Cloud:
    """The local EC2 as a caller inside the region sees it."""

    region: Region
    key: Path

    @property
    def inside(self) -> Callable[[], AbstractContextManager[None]]:
        return Network(self.region).visit

    def launch(self, image: str = "debian", **tags: str) -> Instance:
        named = {f"airkiln:{name}": value for name, value in tags.items()}
        key = self.key.with_suffix(".pub")
        name, address = launch_instance(self.region, image, named, public_key=key)
        return Instance(self, name, IPv4Address(address))

    def image_of(self, instance: Instance, name: str) -> str:
        with self.inside():
            image = str(self.ec2().create_image(InstanceId=instance.name, Name=name)["ImageId"])
            ec2 = self.ec2()
            until(
                lambda: ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available",
                f"{image} is available",
            )
        return image

    def state(self, instance: Instance) -> str:
        with self.inside():
            found = self.ec2().describe_instances(InstanceIds=[instance.name])["Reservations"]
        return str(found[0]["Instances"][0]["State"]["Name"])

    def ec2(self) -> Client:
        return client("ec2")

    def wait_for(self, instance: Instance, state: str) -> None:
        """Wait until EC2 says that the instance is in a state, such as ``stopped``."""
        until(lambda: self.state(instance) == state, f"{instance.name} is {state}")


@dataclass
class Instance:
    """One instance: reached as its user by SSH, and as root from outside."""

    cloud: Cloud
    name: str
    address: IPv4Address

    @property
    def machine(self) -> Machine:
        return Machine(self.cloud.region, self.name)

    def boot(self) -> Instance:
        self.machine.wait_until_booted(PATIENCE)
        return self

    def root(self, command: str, *, check: bool = True) -> str:
        return self.machine.execute(["sh", "-ec", command], check=check).stdout.strip()

    def ssh(self, command: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        with self.cloud.inside():
            assert wait_for_port(self.address, 22, 60), "sshd does not answer"
        options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ]
        arguments = [word for option in options for word in ("-o", option)]
        log_in = ["ssh", *arguments, "-i", str(key or self.cloud.key), f"admin@{self.address}", command]
        inside = session.region_command(self.cloud.region, log_in)
        return subprocess.run(inside, check=False, capture_output=True, text=True, timeout=PATIENCE)


@pytest.fixture(scope="session")
def new_key(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes SSH keys."""

    def make(name: str) -> Path:
        path = tmp_path_factory.mktemp("keys") / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return path

    return make


@pytest.fixture(scope="session")
def cloud(region: Region, new_key: Callable[[str], Path]) -> Cloud:
    return Cloud(region, new_key("cloud"))


@pytest.fixture(scope="module")
def instance(cloud: Cloud) -> Instance:
    """One instance for the tests that change nothing in it."""
    return cloud.launch(role="worker", environment="tests").boot()


@pytest.fixture
def doomed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    """A second rehearsal, to be broken."""
    monkeypatch.setenv("AIRKILN_REHEARSAL", DOOMED.name)
    session.down(DOOMED)
    yield DOOMED
    session.down(DOOMED)
