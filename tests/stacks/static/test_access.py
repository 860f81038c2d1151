"""What each role, key and bucket lets whom do: no more than its part needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.static.template import ACCOUNT, EVERYTHING, NAMES, REGION, Template

ANY_RESOURCE = {
    "autoscaling:DescribeAutoScalingGroups": "describing knows no resource",
    "autoscaling:DescribeAutoScalingInstances": "describing knows no resource",
    "cloudwatch:GetMetricData": "reading figures knows no resource and no namespace",
    "cloudwatch:PutMetricData": "knows no resource; held to the namespace Airkiln",
    "ec2:DescribeInstances": "describing knows no resource",
    "ec2:DescribeTags": "describing knows no resource",
    "ecr:GetAuthorizationToken": "the login to the registry knows no resource",
    "logs:DescribeLogGroups": "the session agent looks for its group among all of them",
    "ssm:DescribeInstanceInformation": "describing knows no resource that a tag could hold it to",
    "ssm:DescribeSessions": "describing knows no resource",
    **dict.fromkeys(
        [
            f"ec2messages:{action}"
            for action in ("AcknowledgeMessage", "DeleteMessage", "FailMessage", "GetEndpoint")
        ]
        + ["ec2messages:GetMessages", "ec2messages:SendReply"]
        + [f"ssmmessages:{verb}{end}Channel" for verb in ("Create", "Open") for end in ("Control", "Data")],
        "the agent's channels know no resource",
    ),
}
"""Actions that may be allowed on every resource, and why."""

DANGEROUS = (
    "iam:",
    "sts:",
    "organizations:",
    "kms:Put",
    "kms:Schedule",
    "kms:Disable",
    "s3:Delete",
    "s3:PutBucket",
    "ssm:Put",
)
PREFIX = "airkiln-test"


class Statement(NamedTuple):
    """One statement of a policy and where it stands."""

    template: str
    owner: str
    kind: str
    body: dict[str, Any]

    @property
    def actions(self) -> list[str]:
        return listed(self.body["Action"])

    @property
    def resources(self) -> list[str]:
        return listed(self.body["Resource"])

    @property
    def allows(self) -> bool:
        return bool(self.body["Effect"] == "Allow")

    def __str__(self) -> str:
        return f"{self.template}.{self.owner}.{self.body.get('Sid', '')}"


def listed(value: Json) -> list[str]:
    return value if isinstance(value, list) else [value]


def policies(name: str, **given: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(owner, kind, document) of every policy in a template."""
    for owner, resource in Template(name).deployed(**(given or EVERYTHING.get(name, {}))).items():
        properties = resource.get("Properties", {})
        for inline in properties.get("Policies", []):
            yield owner, "identity", inline["PolicyDocument"]
        if "PolicyDocument" in properties:
            identity = resource["Type"] in ("AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")
            yield owner, "identity" if identity else resource["Type"], properties["PolicyDocument"]
        for key in ("KeyPolicy", "FileSystemPolicy", "AssumeRolePolicyDocument"):
            if key in properties:
                yield owner, key, properties[key]


STATEMENTS = [
    Statement(name, owner, kind, statement)
    for name in NAMES
    for owner, kind, document in policies(name)
    for statement in document["Statement"]
]
IDENTITY = [statement for statement in STATEMENTS if statement.kind == "identity"]
ALLOWED = [statement for statement in STATEMENTS if statement.allows]
KEY = {statement.body["Sid"]: statement.body for statement in STATEMENTS if statement.kind == "KeyPolicy"}


def allowed(template: str, *owners: str) -> list[Statement]:
    return [s for s in IDENTITY if s.template == template and s.owner in owners and s.allows]


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


MAY_ASSUME = ("WebserverMayTakeTheTaskRole", "SchedulerMayTakeTheTaskRole", "MayTakeTheTaskRole")


def test_an_instance_assumes_the_role_of_its_own_airflow_and_nobody_else_does() -> None:
    assumed = [(s.template, s.owner, s.resources) for s in IDENTITY if "sts:AssumeRole" in s.actions]
    role = f"arn:aws:iam::{ACCOUNT}:role"
    assert sorted(assumed) == [
        ("iam", "SchedulerMayTakeTheTaskRole", [f"{role}/SchedulerTaskRole"]),
        ("iam", "WebserverMayTakeTheTaskRole", [f"{role}/WebserverTaskRole"]),
        ("workers", "MayTakeTheTaskRole", [f"{role}/TaskRole"]),
    ]
    for template, owner, (target,) in assumed:
        resources = Template(template).deployed()
        trust = resources[target.rpartition("/")[2]]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        instance = resources[owner]["Properties"]["RoleName"]
        assert [statement["Principal"] for statement in trust] == [{"AWS": f"{role}/{instance}"}]


@pytest.mark.parametrize(
    "statement", [s for s in IDENTITY if s.owner not in ("SchedulerMayOffload", *MAY_ASSUME)], ids=str
)
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


# The key's own policy, a statement a test.

SCALING = (
    f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
)


def test_the_account_manages_the_key_by_its_policies() -> None:
    assert KEY["AccountDecidesByItsPolicies"]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_auto_scaling_may_launch_from_an_image_under_the_key() -> None:
    statement = KEY["AutoScalingLaunchesFromEncryptedImages"]
    assert SCALING in statement["Principal"]["AWS"]
    assert {"kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey"} <= set(
        statement["Action"]
    )


@pytest.mark.parametrize(
    "name", ["AutoScalingLaunchesFromEncryptedImages", "AutoScalingLendsTheKeyToVolumes"]
)
def test_where_pools_use_spot_its_role_may_use_the_key_too(name: str) -> None:
    """IAM refuses a policy that names a role which is not there: without Spot the role may be missing."""
    resources = Template("security").deployed(Spot="no")
    without = {each["Sid"]: each for each in resources["Key"]["Properties"]["KeyPolicy"]["Statement"]}
    spot = SCALING.replace("autoscaling", "spot").replace("ForAutoScaling", "ForEC2Spot")
    assert KEY[name]["Principal"] == {"AWS": [SCALING, spot]}
    assert without[name]["Principal"] == {"AWS": [SCALING]}


def test_auto_scaling_may_lend_the_key_to_volumes_only() -> None:
    statement = KEY["AutoScalingLendsTheKeyToVolumes"]
    assert statement["Action"] == "kms:CreateGrant"
    assert statement["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_nobody_but_a_service_lends_the_key() -> None:
    statement = KEY["OnlyServicesLendTheKey"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "kms:CreateGrant")


def test_every_log_group_under_the_key_is_one_that_its_policy_names() -> None:
    (patterns,) = KEY["LogGroupsOfThisEnvironment"]["Condition"]["StringLike"].values()
    prefixes = tuple(pattern.rpartition("log-group:")[2].removesuffix("*") for pattern in patterns)
    groups = [
        resource["Properties"]["LogGroupName"]
        for name in NAMES
        for resource in Template(name).deployed(**EVERYTHING.get(name, {})).values()
        if resource["Type"] == "AWS::Logs::LogGroup"
    ]
    assert len(groups) == 5
    assert [group for group in groups if not group.startswith(prefixes)] == []


def test_every_alarm_is_one_that_may_use_the_key_and_the_topic() -> None:
    pattern = KEY["AlarmsSpeakThroughTheTopic"]["Condition"]["ArnLike"]["aws:SourceArn"]
    assert pattern == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:airkiln-test-*"
    for name in ("observability", "workers"):
        for resource in Template(name).deployed().values():
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                assert resource["Properties"]["AlarmName"].startswith("airkiln-test-")
                assert resource["Properties"]["AlarmActions"] == [
                    f"arn:aws:sns:{REGION}:{ACCOUNT}:airkiln-test-alarms"
                ]


def test_flow_logs_of_a_given_vpc_may_be_delivered_under_the_key() -> None:
    assert KEY["FlowLogsOfAGivenVpcAreDelivered"]["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
    flow_log = Template("observability").deployed(**EVERYTHING["observability"])["FlowLog"]["Properties"]
    assert flow_log["LogDestination"].endswith("/flow-logs/")


@pytest.mark.parametrize(("name", "count"), [("buckets", 3), ("network", 1)])
def test_every_bucket_refuses_clear_text(name: str, count: int) -> None:
    resources = Template(name).deployed().values()
    assert sum(resource["Type"] == "AWS::S3::Bucket" for resource in resources) == count
    refusing = [
        statement
        for resource in resources
        if resource["Type"] == "AWS::S3::BucketPolicy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and len(statement["Resource"]) == 2
    ]
    assert len(refusing) == count


def test_the_file_system_refuses_clear_text() -> None:
    statements = Template("data").deployed()["FileSystem"]["Properties"]["FileSystemPolicy"]["Statement"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [
        s["Condition"] for s in statements if s["Effect"] == "Deny"
    ]
