"""What a deployment decides before it does anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airkiln_deploy import plan as planning
from airkiln_deploy import template as templates

CLOUDFORMATION = Path(__file__).parents[3] / "cloudformation"
WIRING = yaml.safe_load((CLOUDFORMATION / "wiring.yml").read_text(encoding="utf-8"))["stacks"]
IMAGE = "ami-0123456789abcdef0"
RUNNING = "ami-0fedcba9876543210"
EDGE = {
    "InternalHostName": "airflow.example.com",
    "InternalCertificateArn": (
        "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    ),
}
Plan = Callable[..., dict[str, Any]]


@pytest.fixture
def plan() -> Plan:
    def made(**changes: object) -> dict[str, Any]:
        environment = {
            "name": "prod",
            "vpc": {},
            "parameters": {},
            "stacks": {"edge": EDGE},
            "pools": {"default": {}},
            "offload": False,
            "image_id": IMAGE,
            "zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c", "eu-west-1d"],
            "s3_prefix_list": "pl-6da54004",
            "present": {},
        }
        found: dict[str, Any] = planning.plan(
            WIRING, templates.templates(str(CLOUDFORMATION)), environment | changes
        )
        return found

    return made


def stack(plan: dict[str, Any], short: str) -> dict[str, Any]:
    (found,) = [each for each in plan["stacks"] if each["short"] == short]
    assert isinstance(found, dict)
    return found


def present(status: str, **parameters: str) -> dict[str, Any]:
    return {"status": status, "parameters": parameters, "outputs": {}}


def test_the_order_is_the_wirings(plan: Plan) -> None:
    wanted = [each["short"] for each in plan()["stacks"]]
    assert wanted == [each["name"].replace("workers", "worker-default") for each in WIRING]


def test_fewest_variables_are_no_problem(plan: Plan) -> None:
    assert plan()["problems"] == []


def test_the_example_of_an_environments_variables_can_be_deployed(plan: Plan) -> None:
    example = yaml.safe_load((CLOUDFORMATION.parent / "inventory/group_vars/example.yml").read_text())
    names = ("vpc", "parameters", "pools", "offload", "image_id")
    given = {name: example[f"airkiln_{name}"] for name in names}
    made = plan(**given, stacks=example["airkiln_stack_parameters"])
    assert made["problems"] == []
    assert templates.refusals(made["stacks"], templates.templates(str(CLOUDFORMATION))) == []


def test_a_stack_a_pool(plan: Plan) -> None:
    made = plan(pools={"default": {}, "batch": {"MaxSize": 3}})
    assert stack(made, "worker-batch")["given"]["PoolName"] == "batch"
    assert stack(made, "worker-batch")["given"]["MaxSize"] == 3
    assert "MaxSize" not in stack(made, "worker-default")["given"]


def test_the_group_follows_a_recommendation_to_rebalance_where_the_pool_does(plan: Plan) -> None:
    made = plan(pools={"default": {}, "batch": {"rebalance": "drain"}})
    assert made["problems"] == []
    assert stack(made, "worker-batch")["given"]["Rebalance"] == "drain"
    assert "Rebalance" not in stack(made, "worker-default")["given"]


@pytest.mark.parametrize(
    ("pools", "common", "spot"),
    [
        ({"default": None}, {}, "no"),
        ({"default": {}, "batch": {"OnDemandPercent": 0, "SecondInstanceType": "m6i.xlarge"}}, {}, "yes"),
        ({"default": {}}, {"OnDemandPercent": 50, "SecondInstanceType": "m6i.xlarge"}, "yes"),
    ],
)
def test_the_key_is_open_to_spot_where_a_pool_uses_it(
    plan: Plan, pools: dict[str, Any], common: dict[str, Any], spot: str
) -> None:
    made = plan(pools=pools, parameters=common)
    assert stack(made, "security")["given"]["Spot"] == spot


def test_without_a_way_out_there_are_endpoints_and_s3_is_named(plan: Plan) -> None:
    made = plan(stacks={"edge": EDGE, "network": {"NatGateways": "none"}})
    assert stack(made, "endpoints")["wanted"]
    assert stack(made, "firewall")["given"]["S3PrefixListId"] == "pl-6da54004"
    assert not stack(plan(), "endpoints")["wanted"]
    assert "S3PrefixListId" not in stack(plan(), "firewall")["given"]


GIVEN_VPC = {
    "VpcId": "vpc-01234567",
    "VpcCidr": "10.20.0.0/16",
    "PrivateSubnetIds": ["subnet-01234567", "subnet-12345678"],
    "DatabaseSubnetIds": ["subnet-01234567", "subnet-12345678"],
    "ZoneCount": 2,
}


def test_a_given_vpc_takes_the_networks_place(plan: Plan) -> None:
    made = plan(vpc=GIVEN_VPC)
    assert made["problems"] == []
    assert not stack(made, "network")["wanted"]
    assert stack(made, "observability")["given"]["FlowLogVpcId"] == "vpc-01234567"
    given = planning.parameters(stack(made, "data"), {"network": GIVEN_VPC})["given"]
    assert given["DatabaseSubnetIds"] == "subnet-01234567,subnet-12345678"
    assert given["ZoneCount"] == "2"


def test_a_given_vpc_is_whole_and_was_given_from_the_beginning(plan: Plan) -> None:
    made = plan(vpc={"VpcId": "vpc-01234567"}, present={"airkiln-prod-network": present("CREATE_COMPLETE")})
    assert [line.split()[0] for line in made["problems"]] == [
        "airkiln_vpc.VpcCidr",
        "airkiln_vpc.PrivateSubnetIds",
        "airkiln_vpc.DatabaseSubnetIds",
        "airkiln_vpc.ZoneCount",
        "airkiln_vpc",
    ]


def test_zones_are_chosen_once(plan: Plan) -> None:
    assert stack(plan(), "network")["given"]["Zones"] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    later = stack(plan(present={"airkiln-prod-network": present("UPDATE_COMPLETE")}), "network")
    assert "Zones" not in later["given"]
    assert later["previous"] == ["Zones"]


def test_what_runs_keeps_its_image_and_its_version(plan: Plan) -> None:
    made = plan(present={"airkiln-prod-webserver": present("UPDATE_COMPLETE", ImageId=RUNNING)})
    assert stack(made, "webserver")["previous"] == ["ImageId", "LaunchTemplateVersion"]
    assert "ImageId" not in stack(made, "webserver")["given"]


def test_what_is_added_later_begins_with_what_runs(plan: Plan) -> None:
    made = plan(present={"airkiln-prod-webserver": present("UPDATE_COMPLETE", ImageId=RUNNING)})
    assert stack(made, "worker-default")["given"]["ImageId"] == RUNNING
    assert stack(made, "database-step")["given"]["ImageId"] == RUNNING
    assert not made["begins"]


def test_a_new_environment_begins_with_the_image_of_the_variables(plan: Plan) -> None:
    made = plan()
    assert made["begins"]
    assert stack(made, "scheduler")["given"]["ImageId"] == IMAGE
    assert stack(made, "scheduler")["given"]["LaunchTemplateVersion"] == 1


def test_a_stack_that_was_never_made_begins_anew(plan: Plan) -> None:
    for status in ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):
        made = stack(plan(present={"airkiln-prod-webserver": present(status, ImageId=RUNNING)}), "webserver")
        assert (made["state"], made["previous"]) == ("remains", [])
        assert made["given"]["ImageId"] == IMAGE


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name airkiln-prod-data"),
        ("DELETE_FAILED", "delete the stack again"),
        ("CREATE_FAILED", "delete the stack"),
        ("ROLLBACK_FAILED", "delete the stack"),
        ("UPDATE_FAILED", "rollback-stack --stack-name airkiln-prod-data"),
    ],
)
def test_a_stack_that_people_must_mend_is_refused_with_what_to_do(plan: Plan, status: str, what: str) -> None:
    (problem,) = plan(present={"airkiln-prod-data": present(status)})["problems"]
    assert f"airkiln-prod-data is {status}" in problem
    assert what in problem


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parameters": {"VpcId": "vpc-1"}}, ""),  # an output elsewhere: fed stacks ignore it
        ({"parameters": {"Nonsense": 1}}, "airkiln_parameters.Nonsense: no stack takes it"),
        ({"stacks": {"edge": EDGE, "data": {"KeyArn": "x"}}}, "it is the output security.KeyArn"),
        ({"stacks": {"edge": EDGE, "webserver": {"ImageId": IMAGE}}}, "a release sets it"),
        ({"stacks": {"edge": EDGE, "workers": {}}}, "what a pool takes stands in airkiln_pools"),
        ({"stacks": {}}, "edge.InternalHostName is missing"),
        ({"pools": {}}, "airkiln_pools is empty"),
        ({"pools": {"default": {"MaxSize": "many"}}}, "worker-default.MaxSize is 'many'"),
        ({"pools": {"default": {"VolumeGiB": 4}}}, "worker-default.VolumeGiB is '4' and must be from"),
        ({"parameters": {"Broker": "rabbit"}}, "Broker is 'rabbit' and must be"),
        ({"image_id": "latest"}, "ImageId is 'latest' and must be the id of an image"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(plan: Plan, changes: dict[str, Any], sentence: str) -> None:
    problems = plan(**changes)["problems"]
    assert any(sentence in problem for problem in problems) if sentence else problems == []


def test_rules_refuse_what_outputs_cannot_change(plan: Plan) -> None:
    made = plan(parameters={"Broker": "redis"})
    refusals = templates.refusals(made["stacks"], templates.templates(str(CLOUDFORMATION)))
    assert refusals == ["data: With Broker redis, RedisNodeType is needed, such as cache.t4g.small."]


def test_an_output_that_a_stack_does_not_have_is_left_out(plan: Plan) -> None:
    given = planning.parameters(stack(plan(), "data"), {"firewall": {"DatabaseSecurityGroupId": "sg-1"}})
    assert given["given"]["DatabaseSecurityGroupId"] == "sg-1"
    assert "RedisSecurityGroupId" not in given["given"]


def test_stacks_that_no_variable_names_are_told(plan: Plan) -> None:
    made = plan(present={"airkiln-prod-worker-old": present("CREATE_COMPLETE")})
    assert made["unnamed"] == ["airkiln-prod-worker-old"]
