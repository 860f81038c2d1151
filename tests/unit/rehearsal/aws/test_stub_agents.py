"""The stand-ins are real Debian packages that say what they are."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from rehearsal.aws.stub_agents import StandIn, build

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb is not on this machine's PATH"
)


@pytest.fixture(scope="module")
def standins(tmp_path_factory: pytest.TempPathFactory) -> list[StandIn]:
    return build(tmp_path_factory.mktemp("standins"))


def field(standin: StandIn, name: str) -> str:
    command = ["dpkg-deb", "--field", str(standin.path), name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_there_is_one_for_each_agent_of_amazon(standins: list[StandIn]) -> None:
    assert [standin.name for standin in standins] == ["amazon-ssm-agent", "amazon-cloudwatch-agent"]


def test_each_has_the_name_of_the_agent_and_the_version_of_a_standin(standins: list[StandIn]) -> None:
    assert [(field(each, "Package"), field(each, "Version")) for each in standins] == [
        ("amazon-ssm-agent", "0~standin"),
        ("amazon-cloudwatch-agent", "0~standin"),
    ]


def test_the_checksum_is_that_of_the_file(standins: list[StandIn]) -> None:
    assert all(hashlib.sha256(each.path.read_bytes()).hexdigest() == each.sha256 for each in standins)


def test_building_again_gives_the_same_bytes(standins: list[StandIn], tmp_path: Path) -> None:
    assert [each.sha256 for each in build(tmp_path)] == [each.sha256 for each in standins]


def test_each_brings_its_unit(standins: list[StandIn]) -> None:
    for each in standins:
        command = ["dpkg-deb", "--contents", str(each.path)]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert f"systemd/system/{each.name}.service" in listing
