"""What a deployment makes of a pool's settings, and what it refuses of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from airkiln.pools.settings import parse
from airkiln_deploy import plan as planning
from airkiln_deploy import pools
from airkiln_deploy import template as templates

CLOUDFORMATION = Path(__file__).parents[3] / "cloudformation"


@pytest.fixture
def forms() -> Any:  # noqa: ANN401 - what a template holds
    return templates.templates(str(CLOUDFORMATION))


def test_small_letters_are_settings_and_the_rest_is_the_stacks() -> None:
    given = {"default": {"MinSize": 1, "slots": 4, "cooldown": 60}, "batch": None}
    assert pools.settings(given) == {
        "default": {"slots": 4, "queues": ["default"], "cooldown": 60},
        "batch": {"slots": 16, "queues": ["batch"]},
    }


@pytest.mark.parametrize(("concurrency", "slots"), [("6", 6), (8, 8), ("", 16), (None, 16)])
def test_slots_that_are_not_given_are_airflows_own_setting(concurrency: object, slots: int) -> None:
    assert pools.settings({"default": {}}, concurrency)["default"]["slots"] == slots


def test_parallelism_is_what_all_workers_of_all_pools_run(forms: Any) -> None:  # noqa: ANN401
    given = {"default": {"MaxSize": 40, "slots": 16}, "heavy": {"MaxSize": "3", "slots": 1}, "plain": None}
    plain = 16 * int(forms["workers"]["parameters"]["MaxSize"]["Default"])
    assert pools.all_slots(given, {}, forms) == 640 + 3 + plain
    assert pools.all_slots(given, {"MaxSize": 5}, forms, "8") == 640 + 3 + 40


def test_the_schedulers_are_told_the_slots_of_all_pools() -> None:
    playbooks = CLOUDFORMATION.parent / "playbooks"
    variables = yaml.safe_load((playbooks / "vars/airflow_parameters.yml").read_text(encoding="utf-8"))
    written = variables["airkiln_airflow_parameters"]["scheduler"]
    assert "'AIRFLOW__CORE__PARALLELISM': airkiln_all_slots | string" in written
    assert "airkiln_pools | airkiln_all_slots(" in variables["airkiln_all_slots"]
    warned = (playbooks / "tasks/deploy/preflight.yml").read_text(encoding="utf-8")
    assert "when: __own | int < airkiln_all_slots | int" in warned


def test_the_default_pool_has_no_limit() -> None:
    defaults = CLOUDFORMATION.parent / "roles/airflow/defaults/main.yml"
    settings = yaml.safe_load(defaults.read_text(encoding="utf-8"))["airflow_configuration"]
    assert settings["AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT"] == "-1"


def test_an_instance_understands_what_a_deployment_writes() -> None:
    example = yaml.safe_load((CLOUDFORMATION.parent / "inventory/group_vars/example.yml").read_text())
    text = json.dumps(pools.settings(example["airkiln_pools"]))
    assert list(parse({"AIRKILN_POOLS": text})) == list(example["airkiln_pools"])


def test_every_setting_of_the_example_is_one(forms: Any) -> None:  # noqa: ANN401
    """Those that are commented out, too."""
    text = (CLOUDFORMATION.parent / "inventory/group_vars/example.yml").read_text()
    block = text.partition("airkiln_pools:\n")[2].partition("\n\n")[0].partition("  # batch:")[0]
    given = yaml.safe_load(block.replace("    # ", "    "))
    assert {"slots", "schedule", "scale_out_step"} <= set(given["default"])
    assert pools.problems(given, {}, forms) == []


@pytest.mark.parametrize(
    ("given", "common", "sentence"),
    [
        ({"a": {"slots": 0}}, {}, "airkiln_pools.a.slots: must be a whole number from 1 to 1000."),
        ({"a": {"slot": 4}}, {}, "airkiln_pools.a.slot: no such setting"),
        (
            {"a": {"schedule": [{"from": 450, "until": "18:00", "min": 1}]}},
            {},
            "schedule[0].from: must be a time",
        ),
        ({"a": {"queues": ["a", "b"]}}, {}, "with Broker sqs a pool has the one queue of its own name"),
        ({"a": {}, "b": {"queues": ["a"]}}, {"Broker": "redis"}, "two pools on one queue"),
        ({"a": {"drain_limit": 60001}}, {}, "its group would end a drain after 60000 s"),
        (
            {"a": {"schedule": [{"from": "08:00", "until": "18:00", "min": 5}], "MaxSize": 4}},
            {},
            "airkiln_pools.a.schedule asks for 5 workers, and MaxSize is 4",
        ),
    ],
)
def test_what_would_not_work_is_said_before_anything_is_made(
    forms: Any,  # noqa: ANN401
    given: dict[str, Any],
    common: dict[str, Any],
    sentence: str,
) -> None:
    found = pools.problems(given, common, forms)
    assert len(found) == 1
    assert sentence in found[0]
    assert found[0].endswith(".")


@pytest.mark.parametrize(
    ("given", "common"),
    [
        ({"default": {}}, {}),
        ({"a": {"queues": ["x", "y"]}}, {"Broker": "redis"}),
        ({"a": {"drain_limit": 172800, "DrainHeartbeatSeconds": 1728}}, {}),
        ({"a": {"MaxSize": "many"}}, {}),  # airkiln_plan says so
        ({"Not A Name": {"slots": 0}}, {}),
        ({}, {}),
    ],
)
def test_what_works_or_is_said_elsewhere_is_no_problem_here(
    forms: Any,  # noqa: ANN401
    given: dict[str, Any],
    common: dict[str, Any],
) -> None:
    assert pools.problems(given, common, forms) == []


def test_settings_are_no_parameters_of_the_stack(forms: Any) -> None:  # noqa: ANN401
    wiring = yaml.safe_load((CLOUDFORMATION / "wiring.yml").read_text(encoding="utf-8"))["stacks"]
    environment = {
        "name": "prod",
        "vpc": {},
        "parameters": {},
        "stacks": {},
        "pools": {"default": {"slots": 4, "MaxSize": 3}},
        "offload": False,
        "image_id": "ami-0123456789abcdef0",
        "zones": ["a", "b", "c"],
        "s3_prefix_list": "pl-6da54004",
        "present": {},
    }
    made = planning.plan(wiring, forms, environment)
    (stack,) = [each for each in made["stacks"] if each["short"] == "worker-default"]
    assert stack["given"]["MaxSize"] == 3
    assert "slots" not in stack["given"]
    assert not [problem for problem in made["problems"] if "slots" in problem]
