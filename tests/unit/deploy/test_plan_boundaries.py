"""What decides between two plans, on both sides of each boundary."""

from __future__ import annotations

from typing import Any

import pytest

from airkiln_deploy import plan as planning
from tests.unit.deploy.planned import EDGE, GIVEN_VPC, IMAGE, RUNNING, plan, present, stack

TWO_ZONES = ["eu-west-1b", "eu-west-1d"]


@pytest.mark.parametrize(
    ("status", "means"),
    [
        ("", "absent"),
        ("DELETE_COMPLETE", "absent"),
        ("CREATE_COMPLETE", "settled"),
        ("UPDATE_ROLLBACK_COMPLETE", "settled"),
        ("CREATE_IN_PROGRESS", "moving"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "moving"),
        ("REVIEW_IN_PROGRESS", "remains"),
        ("ROLLBACK_COMPLETE", "remains"),
        ("ROLLBACK_FAILED", "refused"),
    ],
)
def test_a_status_means_one_thing(status: str, means: str) -> None:
    assert planning.state(status) == means


def running(image: str) -> dict[str, Any]:
    names = ("webserver", "scheduler", "worker-default")
    return {f"airkiln-prod-{name}": present("UPDATE_COMPLETE", ImageId=image) for name in names}


def test_the_image_of_the_variables_is_not_needed_where_nothing_new_is_launched() -> None:
    assert not plan(present=running(IMAGE))["begins"]
    added = plan(present=running(IMAGE), pools={"default": {}, "batch": {}})
    assert added["begins"]
    other = plan(present=running(RUNNING), pools={"default": {}, "batch": {}})
    assert not other["begins"]


def test_the_image_that_runs_is_read_of_the_first_stack_that_has_one() -> None:
    held = running(RUNNING) | {"airkiln-prod-webserver": present("UPDATE_COMPLETE")}
    assert plan(present=held)["image"] == RUNNING
    assert plan(present={"airkiln-prod-webserver": present("UPDATE_COMPLETE")})["image"] == IMAGE
    moving = {"airkiln-prod-worker-default": present("UPDATE_IN_PROGRESS", ImageId=RUNNING)}
    assert plan(present=moving)["image"] == RUNNING


def test_the_database_step_is_created_each_time_whatever_an_earlier_one_left() -> None:
    for status in ("CREATE_COMPLETE", "CREATE_FAILED"):
        made = plan(present={"airkiln-prod-database-step": present(status, ImageId=RUNNING)})
        assert made["problems"] == []
        assert stack(made, "database-step")["given"]["ImageId"] == IMAGE
        assert stack(made, "database-step")["previous"] == []


def test_stacks_that_no_variable_names_come_in_order_and_without_those_that_one_does() -> None:
    names = ("worker-old", "network", "queues-old", "worker-default")
    held = {f"airkiln-prod-{name}": present("CREATE_COMPLETE") for name in names}
    assert plan(present=held)["unnamed"] == ["airkiln-prod-queues-old", "airkiln-prod-worker-old"]


def test_a_given_vpc_says_how_it_reaches_aws() -> None:
    assert not stack(plan(vpc=GIVEN_VPC), "endpoints")["wanted"]
    assert stack(plan(vpc=GIVEN_VPC | {"AwsAccess": "endpoints"}), "endpoints")["wanted"]


def test_the_variables_decide_where_a_value_is_only_proposed() -> None:
    network = {"Zones": TWO_ZONES, "ZoneCount": 2}
    made = plan(stacks={"edge": EDGE, "network": network})
    assert stack(made, "network")["given"]["Zones"] == TWO_ZONES
    exists = {"airkiln-prod-network": present("UPDATE_COMPLETE")}
    later = plan(stacks={"edge": EDGE, "network": network}, present=exists)
    assert stack(later, "network")["given"]["Zones"] == TWO_ZONES
    assert stack(later, "network")["previous"] == []


@pytest.mark.parametrize(("count", "zones"), [(2, ["a", "b"]), (3, ["a", "b", "c"])])
def test_as_many_zones_are_chosen_as_are_wanted(count: int, zones: list[str]) -> None:
    made = plan(stacks={"edge": EDGE, "network": {"ZoneCount": count}}, zones=["a", "b", "c"])
    assert stack(made, "network")["given"]["Zones"] == zones


def test_a_region_with_fewer_zones_than_are_wanted_is_a_problem() -> None:
    (problem,) = plan(zones=["eu-west-1a", "eu-west-1b"])["problems"]
    assert problem.startswith("network.Zones is missing")


@pytest.mark.parametrize(("offload", "value"), [(True, "yes"), (False, "no")])
def test_endpoints_are_for_offloaded_tasks_too_where_there_are_any(offload: bool, value: str) -> None:
    network = {"NatGateways": "none"}
    made = plan(stacks={"edge": EDGE, "network": network}, offload=offload)
    assert stack(made, "endpoints")["given"]["Offload"] == value


def test_another_missing_value_is_asked_for_by_its_name() -> None:
    (problem, _) = plan(stacks={})["problems"]
    assert problem.endswith(
        "Give it in airkiln_parameters, or for this stack alone in airkiln_stack_parameters.edge."
    )


def test_a_missing_image_is_asked_for_by_its_variable() -> None:
    problems = plan(image_id="")["problems"]
    assert {problem.split()[0] for problem in problems} == {
        f"{name}.ImageId" for name in ("database-step", "webserver", "scheduler", "worker-default")
    }
    assert all(problem.endswith("Give it in airkiln_image_id.") for problem in problems)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"stacks": {"edge": EDGE | {"Nonsense": 1}}},
            "airkiln_stack_parameters.edge.Nonsense: edge.yaml has no such parameter",
        ),
        (
            {"stacks": {"edge": EDGE, "nonsense": {}}},
            "airkiln_stack_parameters.nonsense: there is no such stack",
        ),
        ({"stacks": {"edge": EDGE, "queues": {}}}, "what a pool takes stands in airkiln_pools"),
        (
            {"stacks": {"edge": EDGE, "security": {"Spot": "yes"}}},
            "airkiln_stack_parameters.security.Spot: the deployment works it out; leave it out.",
        ),
        (
            {"pools": {"batch": {"Nonsense": 1}}},
            "airkiln_pools.batch.Nonsense: workers.yaml has no such parameter",
        ),
        ({"parameters": {"ImageId": IMAGE}}, "airkiln_parameters.ImageId: no stack takes it"),
        ({"pools": {"Bad-Pool": {}}}, "airkiln_pools.Bad-Pool: a pool's name is 1 to 16"),
    ],
)
def test_a_variable_that_nothing_takes_is_named(changes: dict[str, Any], sentence: str) -> None:
    assert any(sentence in problem for problem in plan(**changes)["problems"])


def test_a_value_is_kept_filled_in_or_not_known_yet() -> None:
    one = {
        "given": {"Flag": True, "Zones": TWO_ZONES, "Later": "(later)", "Also": "x(later)"},
        "previous": ["LaunchTemplateVersion", "ImageId"],
        "inputs": {"KeyArn": ("security", "KeyArn"), "Absent": ("security", "Absent")},
    }
    made = planning.parameters(one, {"security": {"KeyArn": "arn:key"}}, "(later)")
    given = {
        "Flag": "true",
        "Zones": ",".join(TWO_ZONES),
        "Later": "(later)",
        "Also": "x(later)",
        "KeyArn": "arn:key",
    }
    assert made == {
        "given": given,
        "all": given | {name: {"use_previous_value": True} for name in ("ImageId", "LaunchTemplateVersion")},
        "unknown": ["Also", "Later"],
        "ignored": ["ImageId", "LaunchTemplateVersion"],
    }
    assert planning.parameters(one, {})["unknown"] == []


def test_a_variable_of_the_database_step_alone_is_taken_like_any_other() -> None:
    made = plan(parameters={"StepTimeout": "PT2H"})
    assert made["problems"] == []
    assert stack(made, "database-step")["given"]["StepTimeout"] == "PT2H"


A_LIST = {"Type": "CommaDelimitedList", "AllowedPattern": "^a+$", "ConstraintDescription": "must be a's."}
SUBNETS = A_LIST | {"Type": "List<AWS::EC2::Subnet::Id>"}
A_NUMBER = {"Type": "Number", "MinValue": 1, "MaxValue": 5}


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (A_LIST, "a,aa"),
        (A_LIST, ["a", "aa"]),
        (SUBNETS, ["a", "aa"]),
        ({"Type": "String", "AllowedPattern": "^a,b$"}, "a,b"),
        ({"Type": "String", "AllowedValues": ["true", "false"]}, True),
        ({"Type": "Number", "AllowedValues": [0, 100]}, "100"),
        (A_NUMBER, 1),
        (A_NUMBER, "5"),
        ({"Type": "Number"}, "-1.5"),
        ({"Type": "AWS::EC2::Image::Id"}, "ami-01234567"),
    ],
)
def test_a_value_that_cloudformation_takes_is_no_problem(form: dict[str, Any], value: object) -> None:
    assert planning.value_problems("edge.It", form, value) == []


@pytest.mark.parametrize(
    ("form", "value", "said"),
    [
        (A_LIST, "a,b", "edge.It is 'b' and must be a's."),
        (SUBNETS, ["b", "a"], "edge.It is 'b' and must be a's."),
        ({"Type": "String", "AllowedPattern": "^a$"}, "a,a", "edge.It is 'a,a' and is not a String."),
        ({"Type": "String", "AllowedValues": ["true"]}, False, "edge.It is 'false' and is not a String."),
        ({"Type": "String", "AllowedValues": ["a"], "AllowedPattern": "^.$"}, "b", "edge.It is 'b' and"),
        (A_NUMBER, "0.9", "edge.It is '0.9' and is not a Number."),
        (A_NUMBER, 6, "edge.It is '6' and is not a Number."),
        (A_NUMBER, "1e0", "edge.It is '1e0' and is not a Number."),
        (A_NUMBER | {"AllowedValues": [1, 2]}, 3, "edge.It is '3' and is not a Number."),
        (
            {"Type": "AWS::EC2::Image::Id"},
            "ami-0123456",
            "edge.It is 'ami-0123456' and must be the id of an image",
        ),
    ],
)
def test_a_value_that_cloudformation_refuses_is_named(form: dict[str, Any], value: object, said: str) -> None:
    (problem,) = planning.value_problems("edge.It", form, value)
    assert problem.startswith(said)
