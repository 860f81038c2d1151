"""Creation, failure, replacement, signals, change sets and protection, with small templates of their own."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.services.cloudformation.clients import clients
from tests.stacks.deployed.environment import REGION, Environment, Parameters, listed
from tests.support.waiting import until

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": {"Ref": "Seconds"}}}
SECONDS = {"Seconds": {"Type": "Number", "Default": 30}}
BROKEN = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "not allowed: spaces"}}


class Stack:
    """A stack of one test's own."""

    def __init__(self, environment: Environment, name: str) -> None:
        self.environment, self.name, self.client = environment, name, environment.cloudformation
        self.id = ""

    def create(self, resources: dict[str, Any], *, wait: bool = True, **more: Any) -> str:  # noqa: ANN401
        """Create it; returns the status in which that ends."""
        template = {"Parameters": SECONDS | more.pop("parameters", {}), "Resources": resources}
        template["Outputs"] = more.pop("outputs", {})
        made = self.client.create_stack(StackName=self.name, TemplateBody=json.dumps(template), **more)
        self.id = made["StackId"]
        return self.settled() if wait else ""

    def update(self, changed: Parameters, resources: dict[str, Any] | None = None) -> str:
        """Update it, its parameters or its resources."""
        body = json.dumps({"Parameters": SECONDS, "Resources": resources})
        source: dict[str, Any] = {"TemplateBody": body} if resources else {"UsePreviousTemplate": True}
        self.client.update_stack(StackName=self.name, Parameters=listed(changed), **source)
        return self.settled()

    def settled(self) -> str:
        def status() -> str:
            return str(self.environment.describe(self.id)["StackStatus"])

        until(lambda: status().endswith(("_COMPLETE", "_FAILED")), status, 60, every=0.05)
        return status()

    def status_of(self, logical: str) -> str:
        return str(self.environment.resources(self.id)[logical]["ResourceStatus"])

    def said(self, logical: str) -> list[str]:
        """What the events say of a resource, the first event first."""
        return [
            f"{event['ResourceStatus']} {event.get('ResourceStatusReason', '')}".strip()
            for event in reversed(self.environment.events(self.id))
            if event["LogicalResourceId"] == logical
        ]

    def queues(self) -> list[str]:
        urls = self.environment.clients("sqs").list_queues(QueueNamePrefix=self.name).get("QueueUrls", [])
        return [url.rpartition("/")[2] for url in urls]

    def visibility(self, logical: str) -> str:
        url = self.environment.id(self.id, logical)
        found = self.environment.clients("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return str(found["Attributes"]["VisibilityTimeout"])


@pytest.fixture(scope="module")
def plain(endpoint: str) -> Environment:
    return Environment(endpoint, "own", {})


@pytest.fixture
def stack(plain: Environment, request: pytest.FixtureRequest) -> Stack:
    return Stack(plain, f"s{abs(hash(request.node.name)) % 10**9}")


def test_a_resource_that_fails_takes_all_others_with_it_and_says_why(stack: Stack) -> None:
    assert stack.create({"First": QUEUE, "Broken": BROKEN | {"DependsOn": "First"}}) == "ROLLBACK_COMPLETE"
    assert stack.queues() == []
    assert stack.environment.resources(stack.id) == {}
    failed = next(line for line in stack.said("Broken") if "FAILED" in line)
    assert "CREATE_FAILED" in failed
    assert "alphanumeric" in failed
    assert stack.said("First")[-1] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        stack.update({"Seconds": "40"})


def test_what_is_to_be_retained_survives_a_failed_creation_unless_it_says_otherwise(stack: Stack) -> None:
    kept = QUEUE | {"DeletionPolicy": "Retain"}
    unless = QUEUE | {"DeletionPolicy": "RetainExceptOnCreate"}
    resources = {"Kept": kept, "Unless": unless, "Broken": BROKEN | {"DependsOn": ["Kept", "Unless"]}}
    assert stack.create(resources) == "ROLLBACK_COMPLETE"
    assert [name.partition("-")[2].partition("-")[0] for name in stack.queues()] == ["Kept"]


@pytest.mark.parametrize(
    ("option", "status", "left"),
    [
        ({"OnFailure": "DO_NOTHING"}, "CREATE_FAILED", 1),
        ({"DisableRollback": True}, "CREATE_FAILED", 1),
        ({"OnFailure": "DELETE"}, "DELETE_COMPLETE", 0),
    ],
)
def test_the_caller_chooses_what_becomes_of_a_failed_creation(
    stack: Stack, option: dict[str, Any], status: str, left: int
) -> None:
    resources = {"First": QUEUE, "Broken": BROKEN | {"DependsOn": "First"}}
    assert stack.create(resources, **option) == status
    assert len(stack.queues()) == left


def test_a_failed_update_goes_back_to_the_old_state(stack: Stack) -> None:
    resources = {"First": QUEUE, "Second": QUEUE, "Old": QUEUE}
    stack.create(resources)
    before = set(stack.queues())
    new = {"First": QUEUE, "Second": QUEUE, "New": QUEUE, "Broken": BROKEN | {"DependsOn": ["First", "New"]}}
    assert stack.update({"Seconds": "50"}, new) == "UPDATE_ROLLBACK_COMPLETE"
    assert set(stack.queues()) == before
    assert [stack.visibility(name) for name in resources] == ["30", "30", "30"]
    assert stack.environment.describe(stack.id)["Parameters"][0]["ParameterValue"] == "30"
    assert "First UPDATE_COMPLETE" in [f"First {line}" for line in stack.said("First")]
    assert stack.update({"Seconds": "60"}) == "UPDATE_COMPLETE"


def test_an_update_in_place_keeps_the_resource_and_a_new_name_replaces_it(stack: Stack) -> None:
    stack.create({"One": QUEUE, "Two": QUEUE})
    one = stack.environment.id(stack.id, "One")
    named = {
        "Type": "AWS::SQS::Queue",
        "Properties": {"QueueName": f"{stack.name}-new", "VisibilityTimeout": 30},
    }
    assert stack.update({}, {"One": QUEUE, "Two": named}) == "UPDATE_COMPLETE"
    assert stack.environment.id(stack.id, "One") == one
    assert f"{stack.name}-new" in stack.queues()
    assert len(stack.queues()) == 2
    assert stack.said("One") == [
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS Resource creation Initiated",
        "CREATE_COMPLETE",
    ]


def test_a_replaced_resource_that_is_to_be_retained_stays(stack: Stack) -> None:
    stack.create({"One": QUEUE | {"UpdateReplacePolicy": "Retain"}})
    named = QUEUE | {"Properties": {"QueueName": f"{stack.name}-new"}, "UpdateReplacePolicy": "Retain"}
    assert stack.update({}, {"One": named}) == "UPDATE_COMPLETE"
    assert len(stack.queues()) == 2


def test_a_custom_name_stands_in_the_way_of_a_replacement(stack: Stack) -> None:
    name = f"{stack.name}-group"
    ec2 = stack.environment.clients("ec2")
    vpcs = [ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"] for _ in range(2)]

    def group(vpc: str) -> dict[str, Any]:
        properties = {"GroupName": name, "GroupDescription": "a test", "VpcId": vpc}
        return {"Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": properties}}

    stack.create(group(vpcs[0]))
    assert stack.update({}, group(vpcs[1])) == "UPDATE_ROLLBACK_COMPLETE"
    assert any(
        "custom-named resource requires replacing" in line
        for line in stack.said("Group") + stack.said(stack.name)
    )


def test_names_and_order_follow_the_references(stack: Stack) -> None:
    policy = {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": "Queue"}],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Resource": {"Fn::GetAtt": ["Queue", "Arn"]}}],
            },
        },
    }
    text = {"Value": {"Fn::Sub": "${Queue.QueueName} in ${AWS::Region} of ${AWS::AccountId}, ${!not}"}}
    stack.create({"Policy": policy, "Queue": QUEUE}, outputs={"Text": text})
    name = stack.queues()[0]
    assert stack.environment.outputs_of(stack.id)["Text"] == f"{name} in {REGION} of 123456789012, ${{not}}"
    made = [
        e["LogicalResourceId"]
        for e in reversed(stack.environment.events(stack.id))
        if e["ResourceStatus"] == "CREATE_COMPLETE"
    ]
    assert made == ["Queue", "Policy", stack.name]
    stack.client.delete_stack(StackName=stack.name)
    assert stack.settled() == "DELETE_COMPLETE"
    gone = [
        e["LogicalResourceId"]
        for e in reversed(stack.environment.events(stack.id))
        if e["ResourceStatus"] == "DELETE_COMPLETE"
    ]
    assert gone == ["Policy", "Queue", stack.name]


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            {"One": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "Nothing"}}}},
            "Unresolved resource",
        ),
        ({"One": {"Type": "AWS::Strange::Thing"}}, "Unrecognized resource types"),
        ({"One": QUEUE | {"DependsOn": "Two"}, "Two": QUEUE | {"DependsOn": "One"}}, "Circular dependency"),
        (
            {"One": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::GetAZs": ""}}}},
            "Fn::GetAZs is not known",
        ),
    ],
)
def test_a_template_that_does_not_hold_together_is_refused(
    stack: Stack, resources: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        stack.create(resources)


def test_a_property_that_nobody_passes_on_is_an_error_and_not_forgotten(stack: Stack) -> None:
    strange = {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}}
    assert stack.create({"One": strange}) == "ROLLBACK_COMPLETE"
    assert any("knows no FifoQueue" in line for line in stack.said("One"))


def test_references_to_parameters_and_secrets_are_resolved_for_the_call_alone(stack: Stack) -> None:
    ssm = stack.environment.clients("ssm")
    ssm.put_parameter(Name=f"/{stack.name}/seconds", Value="77", Type="String")
    queue = {
        "Type": "AWS::SQS::Queue",
        "Properties": {"VisibilityTimeout": f"{{{{resolve:ssm:/{stack.name}/seconds}}}}"},
    }
    assert stack.create({"One": queue}) == "CREATE_COMPLETE"
    assert stack.visibility("One") == "77"
    ssm.put_parameter(Name=f"/{stack.name}/seconds", Value="78", Type="String", Overwrite=True)
    with pytest.raises(ClientError, match="No updates are to be performed"):
        stack.update({})


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("{{resolve:ssm:/is/not/there}}", "Could not resolve the dynamic reference"),
        ("{{resolve:ssm-secure:/is/not/there}}", "ssm-secure is not supported in AWS::SQS::Queue"),
    ],
)
def test_a_reference_that_cannot_be_resolved_fails_its_resource(
    stack: Stack, reference: str, reason: str
) -> None:
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"KmsMasterKeyId": reference}}
    assert stack.create({"One": queue}) == "ROLLBACK_COMPLETE"
    assert any(reason in line for line in stack.said("One"))


def test_a_hidden_parameter_is_shown_as_stars(stack: Stack) -> None:
    hidden = {"Word": {"Type": "String", "NoEcho": True}}
    stack.create({"One": QUEUE}, parameters=hidden, Parameters=listed({"Word": "hush-hush"}))
    described = stack.environment.describe(stack.id)
    values = {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}
    assert values == {"Seconds": "30", "Word": "****"}
    assert "hush-hush" not in str([described, stack.environment.events(stack.id)])


def _waiting(count: int, timeout: str) -> dict[str, Any]:
    return QUEUE | {"CreationPolicy": {"ResourceSignal": {"Count": count, "Timeout": timeout}}}


def test_a_creation_waits_until_as_many_have_signalled_as_it_counts(stack: Stack) -> None:
    stack.create({"One": _waiting(2, "PT1M")}, wait=False)
    signal = stack.environment.signal
    for instance in ("i-1", "i-1"):
        signal(stack.id, "One", instance, "SUCCESS")
    time.sleep(0.3)
    assert stack.status_of("One") == "CREATE_IN_PROGRESS"
    signal(stack.id, "One", "i-2", "SUCCESS")
    assert stack.settled() == "CREATE_COMPLETE"
    assert "CREATE_IN_PROGRESS Received SUCCESS signal with UniqueId i-2" in stack.said("One")
    with pytest.raises(ClientError, match="CREATE_COMPLETE state and cannot be signaled"):
        stack.client.signal_resource(
            StackName=stack.id, LogicalResourceId="One", UniqueId="i-3", Status="SUCCESS"
        )


def test_one_signal_of_failure_fails_the_creation_at_once(stack: Stack) -> None:
    stack.create({"One": _waiting(2, "PT10M")}, wait=False)
    stack.environment.signal(stack.id, "One", "i-1", "FAILURE")
    assert stack.settled() == "ROLLBACK_COMPLETE"
    assert any("Received 1 FAILURE signal(s) out of 2" in line for line in stack.said("One"))


def test_a_signal_that_never_comes_fails_the_creation_in_time(stack: Stack) -> None:
    assert stack.create({"One": _waiting(1, "PT1S")}) == "ROLLBACK_COMPLETE"
    assert any("Failed to receive 1 resource signal(s)" in line for line in stack.said("One"))


def test_a_pool_that_begins_empty_waits_for_nobody(stack: Stack) -> None:
    assert stack.create({"One": _waiting(0, "PT10M")}) == "CREATE_COMPLETE"


def test_a_deletion_ends_a_creation_that_waits(stack: Stack) -> None:
    stack.create({"One": _waiting(1, "PT10M")}, wait=False)
    stack.client.delete_stack(StackName=stack.name)
    assert stack.settled() in ("ROLLBACK_COMPLETE", "DELETE_COMPLETE")
    threading.Event().wait(0.2)
    assert stack.settled() == "DELETE_COMPLETE"
    assert stack.queues() == []


def test_a_protected_stack_is_not_deleted(stack: Stack) -> None:
    stack.create({"One": QUEUE}, EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="while TerminationProtection is enabled"):
        stack.client.delete_stack(StackName=stack.name)
    stack.client.update_termination_protection(StackName=stack.name, EnableTerminationProtection=False)
    stack.client.delete_stack(StackName=stack.name)
    assert stack.settled() == "DELETE_COMPLETE"
    stack.client.delete_stack(StackName=stack.name)


def test_a_name_is_taken_only_while_its_stack_lives(stack: Stack) -> None:
    stack.create({"One": QUEUE})
    with pytest.raises(ClientError, match="AlreadyExists"):
        stack.create({"One": QUEUE})
    stack.client.delete_stack(StackName=stack.name)
    stack.settled()
    assert stack.create({"One": QUEUE}) == "CREATE_COMPLETE"


def test_a_change_set_creates_a_stack_when_it_is_executed(stack: Stack) -> None:
    body = json.dumps({"Parameters": SECONDS, "Resources": {"One": QUEUE}})
    made = stack.client.create_change_set(
        StackName=stack.name, ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=body
    )
    assert stack.environment.describe(stack.name)["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert stack.queues() == []
    changes = stack.client.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    assert [
        (one["ResourceChange"]["Action"], one["ResourceChange"]["LogicalResourceId"]) for one in changes
    ] == [("Add", "One")]
    stack.client.execute_change_set(ChangeSetName=made["Id"])
    stack.id = made["StackId"]
    assert stack.settled() == "CREATE_COMPLETE"
    empty = stack.client.create_change_set(
        StackName=stack.name, ChangeSetName="second", UsePreviousTemplate=True
    )
    described = stack.client.describe_change_set(ChangeSetName=empty["Id"])
    assert described["Status"] == "FAILED"
    assert "didn't contain changes" in described["StatusReason"]


def test_the_template_is_given_back_as_it_came(stack: Stack) -> None:
    stack.create({"One": QUEUE})
    body = stack.client.get_template(StackName=stack.name)["TemplateBody"]
    assert body["Resources"] == {"One": QUEUE}
    summary = stack.client.get_template_summary(StackName=stack.name)
    assert summary["ResourceTypes"] == ["AWS::SQS::Queue"]
    assert summary["Parameters"][0]["DefaultValue"] == "30"


def test_tags_of_a_stack_reach_its_resources(stack: Stack) -> None:
    vpc = {
        "Type": "AWS::EC2::VPC",
        "Properties": {"CidrBlock": "10.98.0.0/16", "Tags": [{"Key": "Name", "Value": "own"}]},
    }
    stack.create({"Vpc": vpc}, Tags=[{"Key": "airkiln:environment", "Value": "own"}])
    found = clients(stack.environment.endpoint, REGION)("ec2").describe_vpcs(
        VpcIds=[stack.environment.id(stack.id, "Vpc")]
    )["Vpcs"][0]
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {
        "Name": "own",
        "airkiln:environment": "own",
    }
