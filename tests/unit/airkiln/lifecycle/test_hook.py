"""What is said to the group's hook, against botocore's own description of Auto Scaling."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.stub import Stubber

from airkiln.lifecycle.hook import Hook, create_client
from airkiln.lifecycle.model import HookAnswer, Told
from airkiln.lifecycle.runtime import Host

HOST = Host("prod", "heavy", "i-0123456789abcdef0", "eu-west-1")
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
    with Stubber(create_client("eu-west-1")) as stubber:
        yield stubber


def test_a_heartbeat_names_hook_group_and_instance(aws: Stubber) -> None:
    aws.add_response(HEARTBEAT, {}, WHICH)
    assert Hook(lambda _: aws.client).tell(Told.HEARTBEAT, HOST) is HookAnswer.DONE
    aws.assert_no_pending_responses()


def test_the_completion_lets_the_group_go_on(aws: Stubber) -> None:
    aws.add_response(COMPLETE, {}, WHICH | {"LifecycleActionResult": "CONTINUE"})
    assert Hook(lambda _: aws.client).tell(Told.COMPLETE, HOST) is HookAnswer.DONE
    aws.assert_no_pending_responses()


@pytest.mark.parametrize("told", list(Told))
@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("ValidationError", HookAnswer.ABSENT),
        ("Throttling", HookAnswer.FAILED),
        ("ResourceContention", HookAnswer.FAILED),
        ("AccessDenied", HookAnswer.FAILED),
    ],
)
def test_only_an_action_that_aws_does_not_know_is_absent(
    aws: Stubber, told: Told, code: str, answer: HookAnswer
) -> None:
    aws.add_client_error(HEARTBEAT if told is Told.HEARTBEAT else COMPLETE, code)
    hook = Hook(lambda _: aws.client)
    assert hook.tell(told, HOST) is answer
    assert hook.trouble == code


def test_a_client_that_cannot_be_made_is_tried_again() -> None:
    def fail(_: str | None) -> object:
        raise OSError

    hook = Hook(fail)
    assert hook.tell(Told.HEARTBEAT, HOST) is HookAnswer.FAILED
    assert hook.trouble == "OSError"


def test_an_instance_that_is_not_known_calls_nobody() -> None:
    hook = Hook(lambda _: pytest.fail("must not be called"))
    assert hook.tell(Told.HEARTBEAT, Host("prod", "default", None, None)) is HookAnswer.FAILED


def test_the_client_is_made_once_and_only_when_it_is_needed(aws: Stubber) -> None:
    made: list[str | None] = []

    def make(region: str | None) -> object:
        made.append(region)
        return aws.client

    hook = Hook(make)
    assert made == []
    for _ in range(2):
        aws.add_response(HEARTBEAT, {}, WHICH)
        hook.tell(Told.HEARTBEAT, HOST)
    assert made == ["eu-west-1"]
