"""The stub agents are real Debian packages, and building them disturbs nobody who uses them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rehearsal.aws.stub_agents import StubAgent, build, cloudwatch_agent

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb is not on this machine's PATH"
)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> list[StubAgent]:
    return build(tmp_path_factory.mktemp("stub-agents"))


def field(agent: StubAgent, name: str) -> str:
    command = ["dpkg-deb", "--field", str(agent.path), name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_there_is_one_for_each_agent_of_amazon(agents: list[StubAgent]) -> None:
    assert [agent.name for agent in agents] == ["amazon-ssm-agent", "amazon-cloudwatch-agent"]


def test_each_has_the_name_of_the_agent_and_the_version_of_a_stub(agents: list[StubAgent]) -> None:
    assert [(field(each, "Package"), field(each, "Version")) for each in agents] == [
        ("amazon-ssm-agent", "0~stub"),
        ("amazon-cloudwatch-agent", "0~stub"),
    ]


def test_the_checksum_is_that_of_the_file(agents: list[StubAgent]) -> None:
    assert all(hashlib.sha256(each.path.read_bytes()).hexdigest() == each.sha256 for each in agents)


def test_building_again_gives_the_same_bytes(agents: list[StubAgent], tmp_path: Path) -> None:
    assert [each.sha256 for each in build(tmp_path)] == [each.sha256 for each in agents]


def test_each_brings_its_unit(agents: list[StubAgent]) -> None:
    for each in agents:
        command = ["dpkg-deb", "--contents", str(each.path)]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert f"systemd/system/{each.name}.service" in listing


def test_a_package_that_is_there_is_kept(tmp_path: Path) -> None:
    first = build(tmp_path)
    before = [each.path.stat() for each in first]
    assert build(tmp_path) == first
    assert [each.path.stat() for each in first] == before
    assert sorted(tmp_path.iterdir()) == sorted(each.path for each in first)


def test_several_processes_may_build_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        built = [each for agents in pool.map(build, [tmp_path] * 8) for each in agents]
    assert len({each.path for each in built}) == 2
    assert all(hashlib.sha256(each.path.read_bytes()).hexdigest() == each.sha256 for each in built)


def journald(**fields: object) -> dict[str, object]:
    entry = {"log_group_name": "/airkiln/test/journal"} | fields
    return {"logs": {"logs_collected": {"journald": {"collect_list": [entry]}}}}


@pytest.mark.parametrize(
    "refused",
    [
        journald(retention_in_days=-1),
        journald(retention_in_days=2),
        journald(retention_in_days="30"),
        journald(priority="information"),
        journald(start_at="beginning"),
        journald(log_group_name="/airkiln/ /journal"),
        journald(log_stream_name="a:b"),
        {"logs": {"logs_collected": {"journald": {"collect_list": []}}}},
        {"metrics": {"namespace": ""}},
        {"metric": {}},
        [],
    ],
    ids=str,
)
def test_the_stub_of_cloudwatch_refuses_what_the_agent_refuses(refused: object) -> None:
    assert cloudwatch_agent.refusals(refused) != []


def test_the_stub_of_cloudwatch_takes_what_the_agent_takes() -> None:
    taken = journald(log_stream_name="{instance_id}", retention_in_days=0, priority="info", units=["ssh"])
    assert cloudwatch_agent.refusals(taken) == []
    assert cloudwatch_agent.refusals({"metrics": {"namespace": "Airkiln/prod"}}) == []
