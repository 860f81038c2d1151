"""What each role lets whom do: no more than its part needs."""

from __future__ import annotations

import json

import pytest

from tests.stacks.static.statements import (
    ALLOWED,
    ANY_RESOURCE,
    DANGEROUS,
    IDENTITY,
    PREFIX,
    STATEMENTS,
    Statement,
    allowed,
)
from tests.stacks.static.template import ACCOUNT, EVERYTHING, NAMES, REGION, Template


@pytest.mark.parametrize("statement", IDENTITY, ids=str)
def test_a_role_is_allowed_named_actions_only(statement: Statement) -> None:
    assert [action for action in statement.actions if "*" in action] == []
    assert "NotAction" not in statement.body
    assert "NotResource" not in statement.body


@pytest.mark.parametrize("statement", IDENTITY, ids=str)
def test_every_resource_is_meant_only_where_the_api_knows_none(statement: Statement) -> None:
    if "*" in statement.resources:
        assert [action for action in statement.actions if action not in ANY_RESOURCE] == []


def test_every_exception_is_needed() -> None:
    used = {action for statement in IDENTITY if "*" in statement.resources for action in statement.actions}
    assert set(ANY_RESOURCE) - used == set()


TASK_ROLES = [
    ("iam", "WebserverTaskRole", "WebserverRole"),
    ("iam", "SchedulerTaskRole", "SchedulerRole"),
    ("workers", "TaskRole", "Role"),
]
"""Template, task role, and the role of the instances whose Airflow has it."""


def test_an_instance_assumes_the_role_of_its_own_airflow_and_nobody_else_does() -> None:
    """The trust names the instance's role. In one account that is enough, as STS documents of AssumeRole:

    "When a resource-based policy grants access to a principal in the same account, no additional
    identity-based policy is required."
    """
    trusting = {
        (s.template, s.owner): s.body["Principal"]["AWS"]
        for s in STATEMENTS
        if s.kind == "AssumeRolePolicyDocument" and "AWS" in s.body["Principal"]
    }
    assert trusting == {
        (template, tasks): f"arn:aws:iam::{ACCOUNT}:role/{instance}"
        for template, tasks, instance in TASK_ROLES
    }
    assert [str(s) for s in IDENTITY if "sts:AssumeRole" in s.actions] == []


@pytest.mark.parametrize("statement", [s for s in IDENTITY if s.owner != "SchedulerMayOffload"], ids=str)
def test_no_role_may_change_who_may_do_what_or_delete_what_is_kept(statement: Statement) -> None:
    assert [action for action in statement.actions if action.startswith(DANGEROUS)] == []


def test_the_scheduler_hands_on_the_roles_of_its_containers_to_ecs_alone() -> None:
    (statement,) = [s for s in IDENTITY if "iam:PassRole" in s.actions]
    assert statement.resources == [
        f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("LaunchRole", "TaskRole")
    ]
    assert statement.body["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


@pytest.mark.parametrize("statement", [s for s in ALLOWED if s.kind != "identity"], ids=str)
def test_nobody_in_particular_is_allowed_nothing_but_to_mount_over_tls(statement: Statement) -> None:
    principal = statement.body["Principal"]
    if principal not in ("*", {"AWS": "*"}):
        return
    assert (statement.template, statement.owner) == ("data", "FileSystem")
    assert statement.body["Condition"] == {
        "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true", "aws:SecureTransport": "true"}
    }


@pytest.mark.parametrize(
    "statement", [s for s in ALLOWED if s.kind in ("KeyPolicy", "AWS::S3::BucketPolicy")], ids=str
)
def test_a_service_acts_for_this_account_only(statement: Statement) -> None:
    principal = statement.body["Principal"]
    if "Service" in principal and not principal["Service"].startswith("logs."):
        # Load balancing gives the ARN alone, which names the account.
        account = None if "elasticloadbalancing" in principal["Service"] else {"aws:SourceAccount": ACCOUNT}
        assert statement.body["Condition"].get("StringEquals") == account
        assert f":{REGION}:{ACCOUNT}:" in str(
            statement.body["Condition"]["ArnLike"]
        ) or ":s3:::airkiln" in str(statement.body)


@pytest.mark.parametrize(
    "statement", [s for s in IDENTITY if any("airkiln" in r for r in s.resources)], ids=str
)
def test_what_is_named_belongs_to_this_environment(statement: Statement) -> None:
    for resource in statement.resources:
        if "airkiln" in resource:
            assert any(
                mark in resource for mark in (f"{PREFIX}-", "/airkiln/test/", f"{PREFIX}:", f"{PREFIX}/")
            ) or (resource.endswith(PREFIX)), resource


@pytest.mark.parametrize(
    ("template", "owner", "folder"),
    [
        ("iam", "WebserverRole", "webserver"),
        ("iam", "SchedulerRole", "scheduler"),
        ("iam", "DatabaseRole", "database"),
        ("security", "InstancePolicy", "common"),
        ("security", "WorkerParametersPolicy", "worker"),
    ],
)
def test_a_role_reads_and_decrypts_its_own_parameters_and_no_others(
    template: str, owner: str, folder: str
) -> None:
    path = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/airkiln/test/{folder}"
    statements = allowed(template, owner)
    reads = [
        r for s in statements if any(a.startswith("ssm:GetParameter") for a in s.actions) for r in s.resources
    ]
    assert reads == [path]
    opened = [
        s.body["Condition"]["StringLike"]["kms:EncryptionContext:PARAMETER_ARN"]
        for s in statements
        if "PARAMETER_ARN" in json.dumps(s.body.get("Condition", {}))
    ]
    assert opened == [f"{path}/*"]


def test_the_key_is_used_only_through_a_service_or_for_a_session() -> None:
    for statement in IDENTITY:
        if any(action.startswith("kms:") for action in statement.actions):
            condition = statement.body["Condition"]
            via = condition.get("StringEquals", {}).get("kms:ViaService", "")
            session = condition.get("Null", {}) == {"kms:EncryptionContext:aws:ssm:SessionId": "false"}
            assert via.endswith(f".{REGION}.amazonaws.com") or session, str(statement)


def test_the_builder_reaches_nothing_of_the_environment() -> None:
    role = Template("iam").deployed()["BuilderRole"]["Properties"]
    assert "Policies" not in role
    assert role["ManagedPolicyArns"] == [f"arn:aws:iam::{ACCOUNT}:policy/AgentPolicy"]
    reached = {action.split(":")[0] for s in allowed("security", "AgentPolicy") for action in s.actions}
    assert reached == {"ssm", "ssmmessages", "ec2messages", "kms", "logs", "s3"}


def test_a_worker_takes_from_the_queue_of_its_pool_only() -> None:
    queues = [r for s in allowed("workers", "TaskRole") for r in s.resources if ":sqs:" in r]
    assert queues == [f"arn:aws:sqs:{REGION}:{ACCOUNT}:airkiln-test-default"]


def test_the_scheduler_sends_and_never_takes() -> None:
    actions = {
        action
        for s in allowed("iam", "SchedulerTaskRole")
        for action in s.actions
        if action.startswith("sqs:")
    }
    assert actions == {"sqs:GetQueueAttributes", "sqs:SendMessage"}


@pytest.mark.parametrize(
    ("template", "owner", "groups"),
    [
        ("iam", "WebserverRole", []),
        ("iam", "SchedulerRole", ["worker-*", "scheduler"]),
        ("workers", "Role", ["worker-default"]),
    ],
)
def test_a_role_touches_no_group_but_its_own_and_the_scheduler_the_pools(
    template: str, owner: str, groups: list[str]
) -> None:
    reached = [r for s in allowed(template, owner) for r in s.resources if ":autoScalingGroup:" in r]
    assert [r.rpartition("autoScalingGroupName/")[2] for r in reached] == [
        f"{PREFIX}-{group}" for group in groups
    ]


def test_every_role_has_the_boundary_that_is_given() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    for name in NAMES:
        if "PermissionsBoundaryArn" in Template(name).parameters:
            resources = Template(name).deployed(**EVERYTHING.get(name, {}), PermissionsBoundaryArn=boundary)
            roles = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::IAM::Role"]
            assert roles
            assert all(role["PermissionsBoundary"] == boundary for role in roles)
        else:
            assert "AWS::IAM::Role" not in Template(name).text


@pytest.mark.parametrize("policy", ["OperatorPolicy", "AdministratorPolicy", "UserInterfacePolicy"])
def test_nobody_reads_results_where_those_of_other_environments_are(policy: str) -> None:
    """Systems Manager's results know no resource. Ours are in the environment's own log group."""
    actions = {action for s in allowed("operations", policy) for action in s.actions}
    assert not actions & {"ssm:GetCommandInvocation", "ssm:ListCommandInvocations", "ssm:ListCommands"}


def test_an_operator_has_no_shell() -> None:
    actions = {action for s in allowed("operations", "OperatorPolicy") for action in s.actions}
    assert "ssm:StartSession" not in actions


def test_an_administrator_starts_sessions_by_our_document_on_our_instances_only() -> None:
    starts = [s for s in allowed("operations", "AdministratorPolicy") if s.actions == ["ssm:StartSession"]]
    by_instance, by_document = starts
    assert by_instance.resources == [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*"]
    assert by_instance.body["Condition"] == {
        "StringEquals": {"ssm:resourceTag/airkiln:environment": "test"},
        "BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"},
    }
    assert by_document.resources == [f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/airkiln-test-session"]


def test_a_user_of_the_ui_gets_a_forwarded_port_of_a_web_server_and_no_shell() -> None:
    starts = [s for s in allowed("operations", "UserInterfacePolicy") if "ssm:StartSession" in s.actions]
    by_instance, by_document = starts
    assert by_instance.body["Condition"]["StringEquals"]["ssm:resourceTag/airkiln:role"] == "webserver"
    assert by_document.resources == [f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/airkiln-test-user-interface"]
