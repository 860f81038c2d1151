"""Every call of AWS that the product makes is allowed to its role: calls found by running the code."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from itertools import chain
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
from tests.stacks.access.world import expanded, world

SOURCE = Path(__file__).parents[3] / "src" / "airkiln"
NEEDS_A_SCENE = "add a scene to product_scenes.py, then: python -m tests.stacks.access.record"


def request_of(role: str, call: dict[str, Any]) -> Request:
    return Request(role, call["do"], expanded(call["to"]), context(call.get("when", {})))


PLAYED = played()
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
def operations(service: str) -> dict[str, str]:
    """Names of botocore's methods and of the operations behind them."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): f"{service}:{name}" for name in model.operation_names}


def clients_and_calls(source: str) -> tuple[set[str], set[str]]:
    """(services of which a client is made, names of methods that are called) in a module's text."""
    services, called = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called.add(node.func.attr)
            first = node.args[0] if node.args else None
            if node.func.attr in ("client", "create_client") and isinstance(first, ast.Constant):
                services.add(str(first.value))
    return services, called


def test_every_operation_that_our_source_names_was_recorded() -> None:
    found = [clients_and_calls(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")]
    services = set(chain.from_iterable(services for services, _ in found))
    called = set(chain.from_iterable(called for _, called in found))
    assert {"ssm", "cloudformation"} <= services
    named_in_source = {
        operation
        for service in services
        for method, operation in operations(service).items()
        if method in called
    }
    seen = {call["call"] for scene in recorded("airkiln")["scenes"] for call in scene["calls"]}
    assert named_in_source - seen == set(), NEEDS_A_SCENE
