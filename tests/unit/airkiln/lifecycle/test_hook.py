"""What is said to the group's hook, against botocore's own description of Auto Scaling."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.stub import Stubber

from airkiln.aws.clients import make_client
from airkiln.host.instance import Instance
from airkiln.lifecycle.hook import Hook
from airkiln.lifecycle.model import HookCall, HookReply

HERE = Instance("i-0123456789abcdef0", "eu-west-1", "worker", "prod", "heavy")
WHICH = {
    "LifecycleHookName": "airkiln-drain",
    "AutoScalingGroupName": "airkiln-prod-worker-heavy",
    "InstanceId": "i-0123456789abcdef0",
}
HEARTBEAT, COMPLETE = "record_lifecycle_action_heartbeat", "complete_lifecycle_action"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with Stubber(make_client("autoscaling", "eu-west-1")) as stubber:
        yield stubber


def test_a_heartbeat_names_hook_group_and_instance(aws: Stubber) -> None:
    aws.add_response(HEARTBEAT, {}, WHICH)
    assert Hook(lambda *_: aws.client).call(HookCall.HEARTBEAT, HERE) is HookReply.DONE
    aws.assert_no_pending_responses()


def test_the_completion_lets_the_group_go_on(aws: Stubber) -> None:
    aws.add_response(COMPLETE, {}, WHICH | {"LifecycleActionResult": "CONTINUE"})
    assert Hook(lambda *_: aws.client).call(HookCall.COMPLETE, HERE) is HookReply.DONE
    aws.assert_no_pending_responses()


@pytest.mark.parametrize("which", list(HookCall))
@pytest.mark.parametrize(
    ("code", "reply"),
    [
        ("ValidationError", HookReply.ABSENT),
        ("Throttling", HookReply.FAILED),
        ("ResourceContention", HookReply.FAILED),
        ("AccessDenied", HookReply.FAILED),
    ],
)
def test_only_an_action_that_aws_does_not_know_is_absent(
    aws: Stubber, which: HookCall, code: str, reply: HookReply
) -> None:
    aws.add_client_error(HEARTBEAT if which is HookCall.HEARTBEAT else COMPLETE, code)
    hook = Hook(lambda *_: aws.client)
    assert hook.call(which, HERE) is reply
    assert hook.failure == code


def test_a_client_that_cannot_be_made_is_tried_again() -> None:
    def fail(_service: str, _region: str | None) -> object:
        raise OSError

    hook = Hook(fail)
    assert hook.call(HookCall.HEARTBEAT, HERE) is HookReply.FAILED
    assert hook.failure == "OSError"


def test_an_instance_that_is_not_known_calls_nobody() -> None:
    hook = Hook(lambda *_: pytest.fail("must not be called"))
    assert hook.call(HookCall.HEARTBEAT, Instance(environment="prod", pool="default")) is HookReply.FAILED


def test_the_client_is_made_once_and_only_when_it_is_needed(aws: Stubber) -> None:
    made: list[tuple[str, str | None]] = []

    def make(service: str, region: str | None) -> object:
        made.append((service, region))
        return aws.client

    hook = Hook(make)
    assert made == []
    for _ in range(2):
        aws.add_response(HEARTBEAT, {}, WHICH)
        hook.call(HookCall.HEARTBEAT, HERE)
    assert made == [("autoscaling", "eu-west-1")]
