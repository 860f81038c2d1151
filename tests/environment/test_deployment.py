"""The real stacks are deployed by playbooks/deploy.yml, and what they declare runs."""

from __future__ import annotations

import pytest

from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.commands.up import DAG
from rehearsal.deployment.environment import HOST
from tests.environment.deployed import Deployed

pytestmark = [pytest.mark.root, pytest.mark.image]

GROUPS = ("webserver", "scheduler", "worker-default")


class TestWhatRuns:
    """Instances of the stacks' groups, and the database of the data stack."""

    def test_each_group_has_its_instance_in_service(self, deployed: Deployed) -> None:
        rows = {row.role: row.health for row in deployed.table if row.instance.startswith("i-")}
        assert rows == dict.fromkeys(("scheduler", "webserver", "worker"), "InService, Healthy")

    def test_an_instance_comes_from_its_stacks_launch_template(self, deployed: Deployed) -> None:
        for group in GROUPS:
            (found,) = deployed.call(
                "autoscaling",
                "describe_auto_scaling_groups",
                AutoScalingGroupNames=[f"airkiln-local-{group}"],
            )["AutoScalingGroups"]
            (instance,) = found["Instances"]
            assert instance["LaunchTemplate"]["LaunchTemplateName"] == f"airkiln-local-{group}"

    def test_each_stack_is_complete_and_the_database_step_is_gone(self, deployed: Deployed) -> None:
        stacks = deployed.stacks()
        assert {name for name in GROUPS if stacks[name]["StackStatus"] == "CREATE_COMPLETE"} == set(GROUPS)
        assert "database-step" not in stacks
        assert all(stack["StackStatus"].endswith("_COMPLETE") for stack in stacks.values())

    def test_each_instance_signalled_its_own_stack(self, deployed: Deployed) -> None:
        for role, group in zip(("webserver", "scheduler", "worker"), GROUPS, strict=True):
            journal = deployed.machine(role).execute(["journalctl", "--no-pager", "--output=cat"]).stdout
            assert f"airkiln-local-{group}: SUCCESS signalled for Group" in journal


class TestTheDatabase:
    """PostgreSQL behind the RDS instance of the data stack."""

    def test_instances_reach_it_by_the_name_of_the_stacks_output_and_verify_it(
        self, deployed: Deployed
    ) -> None:
        host = deployed.parameter("infra/data/DatabaseHost")
        url = deployed.parameter("scheduler/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
        assert f"@{host}:5432/airflow" in url
        assert "sslmode=verify-full" in url

    def test_it_has_the_settings_of_the_parameter_group(self, deployed: Deployed) -> None:
        server = Postgres(deployed.region)
        assert server.sql("SHOW log_min_duration_statement") == "2s"


class TestTheLoadBalancer:
    """HAProxy behind the internal load balancer of the edge stack."""

    def test_tasks_reach_the_web_servers_through_it_by_its_name_and_tls(self, deployed: Deployed) -> None:
        url = deployed.parameter("common/AIRFLOW__CORE__EXECUTION_API_SERVER_URL")
        assert url == deployed.parameter("infra/edge/ExecutionApiUrl")
        assert url == f"https://{HOST}/execution/"
        asked = ["curl", "--silent", "--show-error", "--fail", "--tlsv1.3", f"https://{HOST}/airkiln/live"]
        deployed.machine("worker").execute(asked)

    def test_the_web_server_is_its_healthy_target(self, deployed: Deployed) -> None:
        group = deployed.parameter("infra/edge/InternalTargetsArn")
        found = deployed.call("elbv2", "describe_target_health", TargetGroupArn=group)
        (target,) = found["TargetHealthDescriptions"]
        assert target["Target"]["Id"] == deployed.instance("webserver").instance
        assert target["TargetHealth"]["State"] == "healthy"


class TestTheDag:
    """The example DAG, from a bucket, over SQS to the worker."""

    def test_it_succeeded_and_each_task_ran_once_on_the_worker(self, deployed: Deployed) -> None:
        runs = deployed.airflow.runs(DAG)
        assert {run["state"] for run in runs} == {"success"}
        tasks = deployed.airflow.task_instances(DAG, runs[-1]["dag_run_id"])
        assert {(task["state"], task["try_number"]) for task in tasks} == {("success", 1)}
        assert {task["hostname"] for task in tasks} == {deployed.instance("worker").address}

    def test_the_log_of_a_finished_task_comes_from_the_log_bucket(self, deployed: Deployed) -> None:
        run = deployed.airflow.runs(DAG)[-1]["dag_run_id"]
        (where,) = (task for task in deployed.airflow.task_instances(DAG, run) if task["task_id"] == "where")
        log = deployed.airflow.log(where)
        assert "5 greetings from" in log
        assert deployed.parameter("infra/buckets/LogBucketName") in log


def test_a_second_deployment_changes_nothing(deployed: Deployed) -> None:
    before = deployed.table
    assert deployed.playbook("deploy") == {"changed": 0, "failed": 0}
    assert deployed.table == before
