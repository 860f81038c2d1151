"""What stacks report, and which of them a destruction deletes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from airkiln_deploy import stacks, template

CLOUDFORMATION = Path(__file__).parents[3] / "cloudformation"
WIRING = yaml.safe_load((CLOUDFORMATION / "wiring.yml").read_text(encoding="utf-8"))["stacks"]


def test_destruction_goes_backwards_and_keeps_what_holds_data() -> None:
    pools = [f"{kind}-{pool}" for kind in ("queues", "worker") for pool in ("a", "b")]
    names = ["network", "data", "edge", "public", "webserver", *pools, "observability", "operations"]
    every = {f"airkiln-prod-{name}": {"status": "CREATE_COMPLETE"} for name in names}
    found = stacks.to_delete(WIRING, every, "prod")
    assert [name.removeprefix("airkiln-prod-") for name in found["delete"]] == [
        "operations", "worker-a", "worker-b", "queues-a", "queues-b", "webserver", "public", "edge",
    ]  # fmt: skip
    assert set(found["keep"]) == {f"airkiln-prod-{name}" for name in ("network", "data", "observability")}


def test_the_destruction_of_a_pool_takes_its_stacks_alone_and_the_workers_first() -> None:
    names = ("queues-a", "queues-ab", "worker-a", "worker-ab", "edge")
    every = {f"airkiln-prod-{name}": {"status": "CREATE_COMPLETE"} for name in names}
    own = ["airkiln-prod-worker-a", "airkiln-prod-queues-a"]
    assert stacks.to_delete(WIRING, every, "prod", "a")["delete"] == own


def test_no_stack_takes_an_output_of_one_that_is_only_begun() -> None:
    """deploy.yml goes on while these are created: outputs are known at its end, and there is one step."""
    steps = (CLOUDFORMATION.parent / "playbooks/tasks/deploy/stack.yml").read_text(encoding="utf-8")
    (named,) = re.findall(r"'begin' if .* stack\.kind in \[(.*?)\]", steps)
    begun = {name.strip(" '") for name in named.split(",")}
    assert begun == {"webserver", "scheduler", "workers"}
    sources = {source.split(".")[0] for wire in WIRING for source in wire["inputs"].values()}
    assert not begun & sources
    forms = template.templates(str(CLOUDFORMATION))
    assert not [name for name in begun if "DeletionProtection" in forms[name]["parameters"]]


def event(kind: str, name: str, status: str, reason: str = "") -> dict[str, str]:
    return {
        "resource_type": kind,
        "logical_resource_id": name,
        "resource_status": status,
        "resource_status_reason": reason,
    }


def test_the_reason_of_a_failure_is_what_failed_by_itself_this_time() -> None:
    stack_type = "AWS::CloudFormation::Stack"
    events = [
        event(stack_type, "s", "ROLLBACK_COMPLETE"),
        event("AWS::X", "Second", "CREATE_FAILED", "Resource creation cancelled"),
        event("AWS::X", "First", "CREATE_FAILED", "no room"),
        event(stack_type, "s", "CREATE_IN_PROGRESS"),
        event("AWS::X", "Older", "UPDATE_FAILED", "long ago"),
    ]
    found = stacks.reasons({"log": [], "msg": "Unknown error."}, {"stack_events": events})
    assert found == ["AWS::X First CREATE_FAILED: no room"]


def test_what_was_refused_before_it_began_has_no_events_of_its_own() -> None:
    older = {"stack_events": [event("AWS::X", "Older", "UPDATE_FAILED", "long ago")]}
    assert stacks.reasons({"msg": "Parameter X must be given"}, older) == ["Parameter X must be given"]


def test_a_replacement_stands_out_in_a_change_set() -> None:
    change = {
        "Action": "Modify",
        "ResourceType": "AWS::RDS::DBInstance",
        "LogicalResourceId": "Database",
        "Replacement": "True",
        "Details": [{"Target": {"Attribute": "Properties", "Name": "Engine"}}],
    }
    assert stacks.change_set([{"ResourceChange": change}]) == [
        "Modify AWS::RDS::DBInstance Database: Engine; REPLACED"
    ]
