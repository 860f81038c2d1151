"""Every call of AWS that the product makes is allowed to its role: calls found by running the code."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from tests.stacks.access import product_scenes
from tests.stacks.access.calls import documented, played, recorded
from tests.stacks.access.cases import context
from tests.stacks.access.record import LOCK, SCENES, SPEAKS_TO_AWS
from tests.stacks.access.simulation import Request, asked, simulated
from tests.stacks.access.test_matrix import MACHINES, granted
from tests.stacks.access.world import expanded, world

SOURCE = [Path(__file__).parents[3] / "src" / package for package in ("airkiln", "airkiln_airflow")]
"""What runs on instances; airkiln_deploy runs with the operator's rights."""
SERVICES = (
    "autoscaling", "cloudformation", "cloudwatch", "ec2", "ecs", "events", "kms", "logs", "rds", "s3",
    "secretsmanager", "sns", "sqs", "ssm", "sts",
)  # fmt: skip
"""Services whose operations are looked for in our source."""
AHEAD: dict[str, str] = {}
"""What machines are allowed and no code calls yet. The code that calls it ends the entry."""
ENDPOINTS = {"cloudwatch": "monitoring", "ecr": "ecr.api"}
"""Where an endpoint's name says a service differently from its permissions."""
NO_ENDPOINT = {
    "s3": "a gateway endpoint, which belongs to the network and has AWS's own policy",
    "iam": "iam:PassRole is no call but a condition of ecs:RunTask",
}
NEEDS_A_SCENE = "add a scene to product_scenes.py, then: python -m tests.stacks.access.record"


def request_of(role: str, call: dict[str, Any]) -> Request:
    return Request(role, call["do"], expanded(call["to"]), context(call.get("when", {})))


PLAYED = played()
SCENES_RECORDED = [*recorded("airkiln")["scenes"], *recorded("airflow")["scenes"]]
DOCUMENTED = [
    (agent["who"], request_of(role, call))
    for agent in documented()
    for role in agent["roles"]
    for call in agent["calls"]
]
LEFT_OUT = [
    (f"{policy} would let {agent['who']}", request_of(role, call))
    for agent in documented()
    for role in agent["roles"]
    for policy, calls in agent.get("left out", {}).items()
    for call in calls
]


def named(scene: str, request: Request) -> str:
    return f"{scene}: {request}"


@pytest.fixture(scope="module")
def allowed() -> dict[str, bool]:
    known = world()
    calls = {named(*call): call[1] for call in (*PLAYED, *DOCUMENTED, *LEFT_OUT)}
    results = simulated(known.policies, [asked(request, known) for request in calls.values()])
    return dict(zip(calls, results, strict=True))


@pytest.mark.parametrize("call", sorted({named(*call) for call in PLAYED}))
def test_a_role_may_make_the_calls_that_its_code_makes(call: str, allowed: dict[str, bool]) -> None:
    assert allowed[call]


@pytest.mark.parametrize("call", sorted({named(*call) for call in DOCUMENTED}))
def test_an_agent_may_make_the_calls_that_its_documentation_names(
    call: str, allowed: dict[str, bool]
) -> None:
    assert allowed[call]


@pytest.mark.parametrize("call", sorted({named(*call) for call in LEFT_OUT}))
def test_what_amazons_policies_add_and_nothing_here_uses_stays_left_out(
    call: str, allowed: dict[str, bool]
) -> None:
    assert not allowed[call]


def test_machines_are_allowed_nothing_that_nobody_calls() -> None:
    known = world()
    of_machines = {policy for role in MACHINES for policy in known.principals[role].policies}
    called = {
        (policy, request.action)
        for _, request in (*PLAYED, *DOCUMENTED)
        for policy in known.principals[request.principal].policies
    }
    idle = {pair for pair in granted() if pair[0] in of_machines and pair not in called}
    heavy = {(policy, action) for policy, action in idle if policy.startswith("workers-heavy")}
    assert {action for _, action in idle - heavy} == set(AHEAD), "take the permission away, or the entry"


def test_our_own_code_calls_what_was_recorded() -> None:
    assert product_scenes.record() == recorded("airkiln"), (
        "python -m tests.stacks.access.record, and look at what has changed"
    )


def test_airflows_calls_were_recorded_of_the_versions_that_are_locked() -> None:
    lock = LOCK.read_text(encoding="utf-8")
    locked = {name: re.search(rf"^{name}==(\S+)", lock, re.MULTILINE) for name in SPEAKS_TO_AWS}
    assert recorded("airflow")["versions"] == {name: found and found[1] for name, found in locked.items()}


def test_airflows_scenes_are_the_recorded_ones() -> None:
    found = {scene["scene"]: scene["roles"] for scene in recorded("airflow")["scenes"]}
    assert found == SCENES


def test_no_recording_holds_a_secret_or_a_place() -> None:
    text = json.dumps([recorded("airkiln"), recorded("airflow")])
    assert not re.search(r"127\.0\.0\.1|Credential|SecretKey|Password|/tmp/", text)


@cache
def operations() -> dict[str, set[str]]:
    """Names of botocore's methods, and the operations that may be meant."""
    found: dict[str, set[str]] = {}
    for service in SERVICES:
        for name in botocore.session.get_session().get_service_model(service).operation_names:
            found.setdefault(xform_name(name), set()).add(f"{service}:{name}")
    return found


def test_every_operation_that_our_source_names_was_recorded() -> None:
    called = {
        node.func.attr
        for package in SOURCE
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and "_" in node.func.attr
        # `socket.create_connection` is called like an operation of AWS.
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "socket")
    }
    seen = {call["call"] for scene in SCENES_RECORDED for call in scene["calls"]}
    assert "signal_resource" in called
    assert {m for m in called & set(operations()) if not operations()[m] & seen} == set(), NEEDS_A_SCENE


def test_without_a_way_to_the_internet_every_service_that_is_called_has_an_endpoint() -> None:
    called = {request.action.partition(":")[0] for _, request in (*PLAYED, *DOCUMENTED)}
    assert {"ssm", "sqs", "cloudformation", "cloudwatch", "ssmmessages", "logs"} <= called
    ways = {ENDPOINTS.get(service, service) for service in called - set(NO_ENDPOINT)}
    assert ways - set(world().of_endpoints) == set()


def test_every_endpoint_serves_our_account_and_its_own_service_only() -> None:
    """The simulator takes no principal in an endpoint's policy, so this reads it."""
    known = world()
    for service, policy in known.of_endpoints.items():
        (statement,) = known.policies[policy]["Statement"]
        assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}, policy
        own = {"monitoring": "cloudwatch", "ecr.api": "ecr", "ecr.dkr": "ecr"}.get(service, service)
        assert statement["Action"] == f"{own}:*", policy
