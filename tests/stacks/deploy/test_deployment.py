"""The life of one environment, as people run it: interrupted, mended, deployed, changed, destroyed.

Each fixture is one run and begins where the one before it ended; a test says what one of them must show.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.stacks.deploy.conftest import Environment, make_environment
from tests.stacks.deploy.local_aws import (
    ROOT,
    RUNS_WITHIN,
    LocalAws,
    Run,
    Signaller,
    command,
    process_environment,
)

UNKNOWN_CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
LAYERS = {"edge", "webserver", "scheduler", "worker-default", "operations"}
KEPT = {"network", "firewall", "security", "buckets", "data", "observability"}


@dataclass
class Step:
    """A run, and what AWS held before and after it."""

    run: Run
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def new_stacks(self) -> set[str]:
        return set(self.after["stacks"]) - set(self.before["stacks"])


def taken(environment: Environment, playbook: str, *arguments: str) -> Step:
    before = environment.aws.traces(environment.name)
    run = environment.run(playbook, *arguments)
    return Step(run, before, environment.aws.traces(environment.name))


@pytest.fixture(scope="module")
def environment(
    aws: LocalAws,
    signaller: Signaller,
    image: str,
    certificate: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Environment:
    return make_environment(aws, tmp_path_factory.mktemp("life"), "life", image, certificate)


@pytest.fixture(scope="module")
def looked(environment: Environment) -> Step:
    """--check, where nothing is yet."""
    return taken(environment, "deploy", "--check")


@pytest.fixture(scope="module")
def killed(environment: Environment, looked: Step) -> Step:
    """A deployment whose every process is killed when its second stack is there."""
    aws = environment.aws
    before = aws.traces(environment.name)
    process = subprocess.Popen(
        command(environment.inventory, "deploy", "-e", f"environment_name={environment.name}"),
        cwd=ROOT,
        env=process_environment(aws),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + RUNS_WITHIN
    while "firewall" not in aws.stacks(environment.name):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return Step(Run(process.returncode, ""), before, aws.traces(environment.name))


@pytest.fixture(scope="module")
def failed(environment: Environment, killed: Step, certificate: str) -> Step:
    """A deployment with a certificate that there is not."""
    edge = {"InternalHostName": "airflow.example.com", "InternalCertificateArn": UNKNOWN_CERTIFICATE}
    environment.write(airkiln_stack_parameters={"edge": edge})
    step = taken(environment, "deploy")
    environment.write(airkiln_stack_parameters={"edge": edge | {"InternalCertificateArn": certificate}})
    return step


@pytest.fixture(scope="module")
def not_migrated(environment: Environment, failed: Step, signaller: Signaller) -> Step:
    """A deployment whose database step fails."""
    signaller.verdict["Step"] = "FAILURE"
    step = taken(environment, "deploy")
    signaller.verdict["Step"] = "SUCCESS"
    return step


@pytest.fixture(scope="module")
def deployed(environment: Environment, not_migrated: Step) -> Step:
    """The deployment that ends well, as talkative as it can be."""
    return taken(environment, "deploy", "-vvv", "--diff")


@pytest.fixture(scope="module")
def repeated(environment: Environment, deployed: Step) -> Step:
    """The same again."""
    return taken(environment, "deploy")


CHANGES = {
    "airkiln_settings": {"common": {"AIRFLOW__CORE__PARALLELISM": "64"}},
    "airkiln_secret_settings": {"scheduler": {"AIRFLOW__SMTP__SMTP_PASSWORD": "a-word-of-its-own-kind"}},
    "airkiln_image_id": "ami-0fedcba9876543210",
}


@pytest.fixture(scope="module")
def thought_of(environment: Environment, repeated: Step) -> Step:
    """--check with changed variables: a retention, a size, a setting, a secret setting, an image."""
    edge = environment.variables["airkiln_stack_parameters"]["edge"]
    environment.write(
        **CHANGES,
        airkiln_stack_parameters={
            "edge": edge,
            "buckets": {"TaskLogRetentionDays": 30},
            "scheduler": {"HostCount": 3},
        },
    )
    return taken(environment, "deploy", "--check", "--diff")


@pytest.fixture(scope="module")
def changed(environment: Environment, thought_of: Step) -> Step:
    """The same for real."""
    return taken(environment, "deploy")


@pytest.fixture(scope="module")
def refused(environment: Environment, changed: Step) -> Step:
    """destroy.yml with another name typed."""
    return taken(environment, "destroy", "-e", "destroy=prod")


@pytest.fixture(scope="module")
def destroyed(environment: Environment, refused: Step) -> Step:
    """destroy.yml as it is meant."""
    return taken(environment, "destroy", "-e", f"destroy={environment.name}")


@pytest.fixture(scope="module")
def deployed_again(environment: Environment, destroyed: Step, image: str) -> Step:
    """A deployment on what the destruction kept."""
    environment.write(airkiln_image_id=image)
    return taken(environment, "deploy")


def test_a_look_at_nothing_leaves_nothing(looked: Step) -> None:
    assert looked.run.code == 0, looked.run.output
    assert looked.after == looked.before
    assert looked.after["stacks"] == looked.after["parameters"] == {}


def test_a_look_at_nothing_lists_what_would_be_and_marks_what_is_not_known(looked: Step) -> None:
    assert "stack: airkiln-life-data would be created" in looked.run.said
    assert "Database: AWS::RDS::DBInstance" in looked.run.said
    assert "KeyArn: not known yet: output of airkiln-life-security" in looked.run.said
    assert "TaskLogRetentionDays" not in looked.run.said  # nobody gave it


def test_a_killed_deployment_leaves_what_it_had_begun(killed: Step) -> None:
    assert killed.new_stacks == {"network", "firewall"}


def test_a_killed_deployment_is_continued_where_it_was(killed: Step, failed: Step) -> None:
    for name in ("network", "firewall"):
        assert failed.after["stacks"][name][0] == killed.after["stacks"][name][0]
    assert failed.new_stacks >= {"security", "buckets", "data"}


def test_a_stack_that_fails_names_the_resource_and_the_reason(failed: Step) -> None:
    assert failed.run.code != 0
    assert "The stack airkiln-life-edge failed." in failed.run.said
    assert "AWS::ElasticLoadBalancingV2::Listener InternalHttps CREATE_FAILED: " in failed.run.said
    assert "certificate was not found" in failed.run.said
    assert "run this playbook again; it goes on from here" in failed.run.said


def test_nothing_is_made_after_a_stack_that_failed(failed: Step) -> None:
    assert not failed.new_stacks & (LAYERS - {"edge"})
    assert failed.after["stacks"]["edge"][1] == "ROLLBACK_COMPLETE"


def test_a_stack_that_was_never_made_is_made_anew(not_migrated: Step) -> None:
    assert not_migrated.after["stacks"]["edge"][1] == "CREATE_COMPLETE"


def test_a_failed_database_step_ends_the_deployment_with_its_reason(not_migrated: Step) -> None:
    assert not_migrated.run.code != 0
    assert "The database step failed; nothing after it was deployed." in not_migrated.run.said
    assert "AWS::EC2::Instance Step CREATE_FAILED" in not_migrated.run.said
    assert not not_migrated.new_stacks & {"webserver", "scheduler", "worker-default"}


def test_a_failed_database_step_is_removed_and_runs_again(not_migrated: Step, deployed: Step) -> None:
    assert "database-step" not in not_migrated.after["stacks"]
    assert "infra/database-step/ImageId" not in not_migrated.after["parameters"]
    assert "infra/database-step/ImageId" in deployed.after["parameters"]


def test_a_deployment_ends_with_every_stack_and_without_the_step(deployed: Step) -> None:
    assert deployed.run.code == 0, deployed.run.output[-5000:]
    statuses = {name: stack[1] for name, stack in deployed.after["stacks"].items()}
    assert statuses == dict.fromkeys(LAYERS | KEPT, "CREATE_COMPLETE")
    assert "life is deployed: https://airflow.example.com" in deployed.run.said


def test_outputs_are_mirrored(environment: Environment, deployed: Step) -> None:
    mirrored = {
        name: value
        for name, (_, value, _) in deployed.after["parameters"].items()
        if name.startswith("infra/")
    }
    outputs = (
        {
            f"infra/{stack}/{output['OutputKey']}": output["OutputValue"]
            for stack, described in environment.aws.stacks(environment.name).items()
            for output in described["Outputs"]
        }
        if deployed
        else {}
    )
    assert {name for name in outputs if name not in mirrored} == set()


def test_each_role_finds_what_it_needs_and_no_more(deployed: Step) -> None:
    names: dict[str, set[str]] = {}
    for path in deployed.after["parameters"]:
        folder, _, name = path.partition("/")
        names.setdefault(folder, set()).add(name)
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in names["common"]
    assert "AIRFLOW__API_AUTH__JWT_SECRET" not in names["common"] | names["worker"] | names["database"]
    assert "AIRFLOW__CORE__FERNET_KEY" not in names["common"] | names["worker"]
    assert {"AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__RESULT_BACKEND"} <= names["worker"]
    assert names["database"] >= {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRKILN_ADMIN_DATABASE_PASSWORD",
        "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD",
        "AIRKILN_CONTROLLER_DATABASE_PASSWORD",
        "AIRKILN_ADMIN_PASSWORD",
    }


def test_whoever_logs_in_to_the_database_does_so_under_a_name_of_its_own(deployed: Step) -> None:
    values = {name: value for name, (_, value, _) in deployed.after["parameters"].items()}
    worker = values["worker/AIRFLOW__CELERY__RESULT_BACKEND"]
    assert worker == f"db+{values['worker/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN']}"
    owner = values["scheduler/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    password = values["database/AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD"]
    assert worker.startswith(f"db+postgresql+psycopg://airflow_worker:{password}@")
    assert owner.startswith(f"postgresql+psycopg://airflow:{values['deploy/AIRFLOW_DATABASE_PASSWORD']}@")
    assert owner.endswith("/airflow?sslmode=require")


def test_the_queue_that_workers_read_is_the_one_that_their_stack_made(deployed: Step) -> None:
    values = {name: value for name, (_, value, _) in deployed.after["parameters"].items()}
    named = json.loads(values["worker/AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES"])
    assert named == {"default": {"url": values["infra/worker-default/QueueUrl"]}}


def secrets_of(step: Step) -> dict[str, str]:
    return {
        name: value for name, (kind, value, _) in step.after["parameters"].items() if kind == "SecureString"
    }


def test_every_secret_is_a_securestring_and_nothing_else_repeats_it(deployed: Step) -> None:
    secrets = secrets_of(deployed)
    kept = {name: value for name, value in secrets.items() if "://" not in value}
    assert len(set(kept.values())) >= 9
    in_clear = [
        name
        for name, (kind, value, _) in deployed.after["parameters"].items()
        if kind != "SecureString" and any(secret in value for secret in kept.values())
    ]
    assert in_clear == []


def test_secrets_are_under_the_key_of_the_environment(environment: Environment, deployed: Step) -> None:
    key = deployed.after["parameters"]["infra/security/KeyArn"][1]
    pages = (
        environment.aws.client("ssm")
        .get_paginator("describe_parameters")
        .paginate(
            ParameterFilters=[
                {"Key": "Path", "Option": "Recursive", "Values": [f"/airkiln/{environment.name}"]}
            ]
        )
    )
    keys = {each["KeyId"] for page in pages for each in page["Parameters"] if each["Type"] == "SecureString"}
    assert keys == {key}


def test_no_secret_is_ever_printed(
    failed: Step, not_migrated: Step, deployed: Step, thought_of: Step, changed: Step
) -> None:
    runs = (failed, not_migrated, deployed, thought_of, changed)
    printed = "".join(step.run.output for step in runs)
    assert "deploy/FERNET_KEY" in printed  # the search would find what is printed
    assert [name for name, value in secrets_of(changed).items() if value in printed] == []


def test_no_secret_is_in_a_stack(environment: Environment, deployed: Step) -> None:
    held = json.dumps([deployed.after["stacks"], environment.aws.stacks(environment.name)], default=str)
    assert [name for name, value in secrets_of(deployed).items() if value in held] == []


def test_secrets_drawn_before_a_failure_are_kept(failed: Step, deployed: Step) -> None:
    drawn = secrets_of(failed)
    assert len(drawn) >= 9
    assert {name: deployed.after["parameters"][name][1] for name in drawn} == drawn


def test_a_second_run_changes_nothing(repeated: Step) -> None:
    assert repeated.run.code == 0, repeated.run.output[-5000:]
    assert repeated.run.changed == 0
    assert repeated.after == repeated.before  # not even a version of a parameter


def test_a_look_at_changes_leaves_no_trace(thought_of: Step) -> None:
    assert thought_of.run.code == 0, thought_of.run.output[-5000:]
    assert thought_of.after == thought_of.before


def test_a_look_at_changes_shows_them_and_only_them(thought_of: Step) -> None:
    assert "Modify AWS::S3::Bucket LogBucket: LifecycleConfiguration" in thought_of.run.said
    assert "Modify AWS::AutoScaling::AutoScalingGroup Group: " in thought_of.run.said
    assert "+common/AIRFLOW__CORE__PARALLELISM: 64" in thought_of.run.said
    assert "+scheduler/AIRFLOW__SMTP__SMTP_PASSWORD: a secret" in thought_of.run.said
    assert thought_of.run.output.count("Modify AWS::") == 2


def test_a_change_is_made_and_nothing_else_is(changed: Step) -> None:
    assert changed.run.code == 0, changed.run.output[-5000:]
    before, after = changed.before, changed.after
    assert {name for name in after["stacks"] if after["stacks"][name] != before["stacks"][name]} == {
        "buckets",
        "scheduler",
    }
    assert {
        name for name in after["parameters"] if after["parameters"][name] != before["parameters"].get(name)
    } == {
        "common/AIRFLOW__CORE__PARALLELISM",
        "scheduler/AIRFLOW__SMTP__SMTP_PASSWORD",
    }
    assert after["parameters"]["scheduler/AIRFLOW__SMTP__SMTP_PASSWORD"][0] == "SecureString"


def test_a_deployment_never_undoes_a_release(changed: Step, image: str) -> None:
    """The variables name another image; what runs stays, and the image that is not there troubles nobody."""
    for name in ("webserver", "scheduler", "worker-default"):
        assert ("ImageId", image) in changed.after["stacks"][name][2]
        assert ("LaunchTemplateVersion", "1") in changed.after["stacks"][name][2]
    assert "a release changes images" in changed.run.said


def test_destruction_is_refused_without_the_name(refused: Step) -> None:
    assert refused.run.code != 0
    assert "type its name: -e destroy=life. Nothing was changed." in refused.run.said
    assert refused.after == refused.before


def test_destruction_ends_what_runs_and_keeps_the_data(destroyed: Step) -> None:
    assert destroyed.run.code == 0, destroyed.run.output[-5000:]
    assert set(destroyed.after["stacks"]) == KEPT
    assert {name: destroyed.after["stacks"][name] for name in KEPT} == {
        name: destroyed.before["stacks"][name] for name in KEPT
    }


def test_destruction_keeps_secrets_and_forgets_outputs(destroyed: Step) -> None:
    assert secrets_of(destroyed) == {
        name: value
        for name, (kind, value, _) in destroyed.before["parameters"].items()
        if kind == "SecureString"
    }
    gone = set(destroyed.before["parameters"]) - set(destroyed.after["parameters"])
    assert gone == {
        name
        for name in destroyed.before["parameters"]
        if name.startswith("infra/") and name.split("/")[1] in LAYERS
    }


def test_a_deployment_after_a_destruction_stands_on_what_was_kept(deployed_again: Step) -> None:
    assert deployed_again.run.code == 0, deployed_again.run.output[-5000:]
    assert set(deployed_again.after["stacks"]) == KEPT | LAYERS
    assert (
        secrets_of(deployed_again).items()
        >= secrets_of(Step(deployed_again.run, {}, deployed_again.before)).items()
    )
