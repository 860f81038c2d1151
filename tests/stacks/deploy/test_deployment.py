"""An environment is interrupted, mended, deployed, changed, destroyed and deployed again (conftest.py)."""

from __future__ import annotations

import json

from tests.stacks.deploy.conftest import Environment
from tests.stacks.deploy.life import KEPT, LAYERS, Step


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
    assert "run this playbook again; it continues from here" in failed.run.said


def test_nothing_is_made_after_a_stack_that_failed(failed: Step) -> None:
    assert not failed.new_stacks & (LAYERS - {"edge"})
    assert failed.after["stacks"]["edge"][1] == "ROLLBACK_COMPLETE"


def test_a_stack_that_was_never_made_is_made_anew(not_migrated: Step) -> None:
    assert not_migrated.after["stacks"]["edge"][1] == "UPDATE_COMPLETE"


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
    protected = dict.fromkeys(("data", "edge"), "UPDATE_COMPLETE")  # after a creation that could be undone
    assert statuses == dict.fromkeys(LAYERS | KEPT, "CREATE_COMPLETE") | protected
    assert "life is deployed: https://airflow.example.com" in deployed.run.said


def test_outputs_are_mirrored(life: Environment, deployed: Step) -> None:
    mirrored = {
        name: value
        for name, (_, value, _) in deployed.after["parameters"].items()
        if name.startswith("infra/")
    }
    outputs = (
        {
            f"infra/{stack}/{output['OutputKey']}": output["OutputValue"]
            for stack, described in life.aws.stacks(life.name).items()
            for output in described["Outputs"]
        }
        if deployed
        else {}
    )
    assert {name for name in outputs if name not in mirrored} == set()


def test_the_queue_that_workers_read_is_the_one_that_their_pools_stack_made(deployed: Step) -> None:
    values = {name: value for name, (_, value, _) in deployed.after["parameters"].items()}
    named = json.loads(values["worker/AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES"])
    assert named == {"default": {"url": values["infra/queues-default/QueueUrl"]}}


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
    # The derived one would hide the setting from the scheduler.
    assert set(before["parameters"]) - set(after["parameters"]) == {"scheduler/AIRFLOW__CORE__PARALLELISM"}


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


def test_a_deployment_after_a_destruction_stands_on_what_was_kept(deployed_again: Step) -> None:
    assert deployed_again.run.code == 0, deployed_again.run.output[-5000:]
    assert set(deployed_again.after["stacks"]) == KEPT | LAYERS


def test_the_database_step_runs_where_it_is_due_or_asked_for(
    deployed: Step, repeated: Step, deployed_again: Step
) -> None:
    assert "changed: [" in deployed.run.task("Create the stack of the step")
    assert "skipping: [" in repeated.run.task("Create the stack of the step")
    assert "changed: [" in deployed_again.run.task("Create the stack of the step")
    assert "database-step" not in deployed_again.after["stacks"]
