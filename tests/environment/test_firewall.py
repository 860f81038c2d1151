"""The security groups of the stacks, enforced between the instances of a deployed environment."""

from __future__ import annotations

import json

import pytest

from rehearsal.linux.addresses import POSTGRES
from tests.environment.deployed import Deployed

pytestmark = [pytest.mark.root, pytest.mark.image]

ROLES = ("webserver", "scheduler", "worker")
PORTS = (22, 8081, 8793, 8794)
"""SSH, the public door, logs of running tasks, logs of triggers."""
DATABASE = 5432
PROBE = """
import concurrent.futures, json, socket, sys
def reached(way):
    try:
        socket.create_connection(tuple(way), 3).close()
    except TimeoutError:
        return False
    except ConnectionRefusedError:
        pass  # the host answers, and nobody listens
    return True
ways = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(len(ways)) as pool:
    print(json.dumps([way for way, yes in zip(ways, pool.map(reached, ways)) if yes]))
"""
"""Prints the addresses and ports that answer. What the groups do not permit is dropped without an answer."""


def reached(deployed: Deployed, role: str, ways: list[tuple[str, int]]) -> set[tuple[str, int]]:
    answered = deployed.machine(role).execute(["python3", "-c", PROBE], text=json.dumps(ways)).stdout
    return {(address, port) for address, port in json.loads(answered)}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("webserver", {("worker", 8793), ("scheduler", 8794), ("database", DATABASE)}),
        ("scheduler", {("database", DATABASE)}),
        ("worker", {("database", DATABASE)}),
    ],
)
def test_each_role_reaches_these_ports_and_no_others(
    deployed: Deployed, role: str, expected: set[tuple[str, int]]
) -> None:
    names = {deployed.instance(each).address: each for each in ROLES} | {str(POSTGRES): "database"}
    hosts = [address for address, name in names.items() if name not in (role, "database")]
    ways = [(address, port) for address in hosts for port in PORTS]
    found = reached(deployed, role, [*ways, (str(POSTGRES), DATABASE), (str(POSTGRES), 22)])
    assert {(names[address], port) for address, port in found} == expected


def test_a_scheduler_host_does_not_reach_the_task_execution_api(deployed: Deployed) -> None:
    assert reached(deployed, "scheduler", [(deployed.instance("webserver").address, 8080)]) == set()
