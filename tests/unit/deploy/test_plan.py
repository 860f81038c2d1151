"""What a deployment decides before it does anything."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from airkiln_deploy import plan as planning
from airkiln_deploy import template as templates
from tests.unit.deploy.planned import (
    CLOUDFORMATION,
    EDGE,
    GIVEN_VPC,
    IMAGE,
    PUBLIC,
    RUNNING,
    WIRING,
    plan,
    present,
    stack,
)


def test_the_order_is_the_wirings() -> None:
    wanted = [each["short"] for each in plan()["stacks"]]
    names = {"queues": "queues-default", "workers": "worker-default"}
    assert wanted == [names.get(each["name"], each["name"]) for each in WIRING]


def test_fewest_variables_are_no_problem() -> None:
    assert plan()["problems"] == []


def test_the_example_of_an_environments_variables_can_be_deployed() -> None:
    example = yaml.safe_load((CLOUDFORMATION.parent / "inventory/group_vars/example.yml").read_text())
    names = ("vpc", "parameters", "pools", "offload", "image_id")
    given = {name: example[f"airkiln_{name}"] for name in names}
    made = plan(**given, stacks=example["airkiln_stack_parameters"])
    assert made["problems"] == []
    assert templates.refusals(made["stacks"], templates.templates(str(CLOUDFORMATION))) == []


def test_queues_are_there_before_anything_that_uses_them_and_not_at_all_with_redis() -> None:
    both: dict[str, Any] = {"default": {}, "batch": {}}
    order = [each["short"] for each in plan(pools=both)["stacks"] if each["wanted"]]
    assert order.index("queues-batch") < order.index("worker-default")
    redis = plan(pools=both, parameters={"Broker": "redis", "RedisNodeType": "cache.t4g.small"})
    assert [each["short"] for each in redis["stacks"] if each["wanted"] and each["kind"] == "queues"] == []


def test_a_pool_has_stacks_of_its_own_for_its_queues_and_its_workers() -> None:
    made = plan(pools={"default": {}, "batch": {"MaxSize": 3}})
    assert made["problems"] == []
    assert stack(made, "queues-batch")["given"] == {"EnvironmentName": "prod", "PoolName": "batch"}
    assert stack(made, "worker-batch")["inputs"]["QueueArn"] == ["queues-batch", "QueueArn"]
    assert stack(made, "worker-batch")["given"]["PoolName"] == "batch"
    assert stack(made, "worker-batch")["given"]["MaxSize"] == 3
    assert "MaxSize" not in stack(made, "worker-default")["given"]


def test_the_group_follows_a_recommendation_to_rebalance_where_the_pool_does() -> None:
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
    pools: dict[str, Any], common: dict[str, Any], spot: str
) -> None:
    made = plan(pools=pools, parameters=common)
    assert stack(made, "security")["given"]["Spot"] == spot


def test_without_a_way_out_there_are_endpoints_and_s3_is_named() -> None:
    made = plan(stacks={"edge": EDGE, "network": {"NatGateways": "none"}})
    assert stack(made, "endpoints")["wanted"]
    assert stack(made, "firewall")["given"]["S3PrefixListId"] == "pl-6da54004"
    assert not stack(plan(), "endpoints")["wanted"]
    assert "S3PrefixListId" not in stack(plan(), "firewall")["given"]


def test_a_public_load_balancer_has_a_stack_where_it_is_wanted() -> None:
    assert not stack(plan(), "public")["wanted"]
    stacks = {"edge": EDGE, "public": PUBLIC}
    made = plan(parameters={"PublicAccess": "airflow"}, stacks=stacks)
    assert made["problems"] == []
    assert stack(made, "public")["wanted"]
    assert stack(made, "webserver")["inputs"]["PublicTargetsArn"] == ["public", "PublicTargetsArn"]
    (problem, _) = plan(parameters={"PublicAccess": "airflow"})["problems"]
    assert problem.startswith("public.PublicHostName is missing")
    (problem,) = plan(parameters={"PublicAccess": "airflow"}, stacks=stacks, vpc=GIVEN_VPC)["problems"]
    assert problem.startswith("airkiln_vpc.PublicSubnetIds is missing")


def test_a_given_vpc_takes_the_networks_place() -> None:
    made = plan(vpc=GIVEN_VPC)
    assert made["problems"] == []
    assert not stack(made, "network")["wanted"]
    given = planning.parameters(stack(made, "data"), {"network": GIVEN_VPC})["given"]
    assert given["DatabaseSubnetIds"] == "subnet-01234567,subnet-12345678"
    assert given["ZoneCount"] == "2"


def test_a_given_vpc_is_whole_and_was_given_from_the_beginning() -> None:
    made = plan(vpc={"VpcId": "vpc-01234567"}, present={"airkiln-prod-network": present("CREATE_COMPLETE")})
    assert [line.split()[0] for line in made["problems"]] == [
        "airkiln_vpc.VpcCidr",
        "airkiln_vpc.PrivateSubnetIds",
        "airkiln_vpc.DatabaseSubnetIds",
        "airkiln_vpc.ZoneCount",
        "airkiln_vpc",
    ]


def test_zones_are_chosen_once() -> None:
    assert stack(plan(), "network")["given"]["Zones"] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert stack(plan(), "network")["previous"] == []
    later = plan(present={"airkiln-prod-network": present("UPDATE_COMPLETE")})
    assert later["problems"] == []
    assert "Zones" not in stack(later, "network")["given"]
    assert stack(later, "network")["previous"] == ["Zones"]


def test_what_runs_keeps_its_image_and_its_version() -> None:
    made = plan(present={"airkiln-prod-webserver": present("UPDATE_COMPLETE", ImageId=RUNNING)})
    assert stack(made, "webserver")["previous"] == ["ImageId", "LaunchTemplateVersion"]
    assert "ImageId" not in stack(made, "webserver")["given"]


def test_what_is_added_later_begins_with_what_runs() -> None:
    made = plan(present={"airkiln-prod-webserver": present("UPDATE_COMPLETE", ImageId=RUNNING)})
    assert stack(made, "worker-default")["given"]["ImageId"] == RUNNING
    assert stack(made, "database-step")["given"]["ImageId"] == RUNNING
    assert not made["begins"]


def test_a_new_environment_begins_with_the_image_of_the_variables() -> None:
    made = plan()
    assert made["begins"]
    assert stack(made, "scheduler")["given"]["ImageId"] == IMAGE
    assert stack(made, "scheduler")["given"]["LaunchTemplateVersion"] == 1


def test_a_stack_that_was_never_made_begins_anew() -> None:
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
def test_a_stack_that_waits_for_a_person_is_refused_with_what_to_do(status: str, what: str) -> None:
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
def test_a_mistake_is_said_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    problems = plan(**changes)["problems"]
    assert any(sentence in problem for problem in problems) if sentence else problems == []


def test_rules_refuse_what_outputs_cannot_change() -> None:
    made = plan(parameters={"Broker": "redis"})
    refusals = templates.refusals(made["stacks"], templates.templates(str(CLOUDFORMATION)))
    assert refusals == ["data: With Broker redis, RedisNodeType is needed, such as cache.t4g.small."]


def test_an_output_that_a_stack_does_not_have_is_left_out() -> None:
    given = planning.parameters(stack(plan(), "data"), {"firewall": {"DatabaseSecurityGroupId": "sg-1"}})
    assert given["given"]["DatabaseSecurityGroupId"] == "sg-1"
    assert "RedisSecurityGroupId" not in given["given"]


def test_stacks_that_no_variable_names_are_told() -> None:
    made = plan(present={"airkiln-prod-worker-old": present("CREATE_COMPLETE")})
    assert made["unnamed"] == ["airkiln-prod-worker-old"]
