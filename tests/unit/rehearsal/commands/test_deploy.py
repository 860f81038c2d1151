"""The size of an environment, and the variables that it is deployed with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal import cli
from rehearsal.aws import session
from rehearsal.commands.deploy import HOSTS
from rehearsal.deployment.environment import Environment
from rehearsal.deployment.parameters import DAGS_BUCKET
from rehearsal.region import Region

IMAGE = "ami-0123456789abcdef0"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"


def variables(hosts: int) -> dict[str, Any]:
    return Environment(Region("unit"), hosts=hosts).variables(IMAGE, CERTIFICATE, "Z0123456789")


def test_the_command_deploys_two_instances_of_each_role_unless_told_otherwise() -> None:
    assert cli.parser().parse_args(["deploy"]).hosts == HOSTS == 2
    assert cli.parser().parse_args(["deploy", "--hosts", "1"]).hosts == 1


@pytest.mark.parametrize("hosts", [1, 2])
def test_each_role_has_as_many_instances_as_asked_for(hosts: int) -> None:
    found = variables(hosts)
    stacks = found["airkiln_stack_parameters"]
    assert stacks["webserver"] == {"MinSize": hosts, "MaxSize": hosts}
    assert stacks["scheduler"] == {"HostCount": hosts}
    assert found["airkiln_pools"] == {"default": {"MinSize": hosts, "MaxSize": hosts, "slots": 4}}


def test_no_variable_of_an_environment_is_a_secret() -> None:
    assert "airkiln_secret_settings" not in variables(1)
    assert "assword" not in str(variables(1))


def test_no_variable_of_an_environment_has_the_text_that_ansible_masks() -> None:
    region = Region("unit")
    masked = session.environment(region)["AWS_SECRET_ACCESS_KEY"]
    assert masked not in f"{variables(2)} {region.home} {DAGS_BUCKET}"


def test_a_playbook_is_run_with_the_environments_name_and_inventory() -> None:
    environment = Environment(Region("unit"))
    command = environment.playbook("deploy", "--check")
    assert command[0].endswith("ansible-playbook")
    assert command[1:3] == ["--inventory", str(environment.inventory)]
    assert command[3].endswith("playbooks/deploy.yml")
    assert command[-3:] == ["--extra-vars", "environment_name=local", "--check"]


def test_what_a_playbook_leaves_of_its_jobs_goes_with_the_rehearsal() -> None:
    environment = Environment(Region("unit"))
    given = [word for word in environment.playbook("deploy") if "ansible_async_dir" in word]
    (folder,) = (json.loads(word)["ansible_async_dir"] for word in given)
    assert Path(folder).is_relative_to(environment.region.run)
