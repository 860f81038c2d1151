"""The table of lifecycle states is closed, and the emulation makes no transition that is not in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.services.autoscaling import lifecycle
from rehearsal.aws.services.autoscaling.backend import backend
from tests.unit.rehearsal.aws.emulated_aws import GROUP, EmulatedAws

RETAIN = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
STEPS = 40


def test_every_state_has_its_successors_and_can_be_reached() -> None:
    followed = {state for after in lifecycle.TRANSITIONS.values() for state in after}
    assert followed | lifecycle.LAUNCHED == set(lifecycle.TRANSITIONS)
    assert {state for state, after in lifecycle.TRANSITIONS.items() if not after} == {
        lifecycle.TERMINATED,
        lifecycle.DETACHED,
    }


def test_sets_of_states_name_known_states() -> None:
    named = lifecycle.COUNTED | lifecycle.ENDING | lifecycle.PROTECTABLE | set(lifecycle.TARGETS)
    assert named <= set(lifecycle.TRANSITIONS)


@pytest.mark.parametrize("before", lifecycle.TRANSITIONS)
def test_any_other_transition_is_a_defect(before: str) -> None:
    for after in lifecycle.TRANSITIONS:
        if after in lifecycle.TRANSITIONS[before]:
            lifecycle.check_transition(before, after)
        else:
            with pytest.raises(lifecycle.ImpossibleTransitionError, match=f"{before} → {after}"):
                lifecycle.check_transition(before, after)


def step(aws: EmulatedAws, chance: random.Random) -> None:
    """Do one thing that a user, an instance or EC2 may do. AWS may refuse it."""
    ids = aws.ids()
    one = chance.choice(ids) if ids else "i-none"
    hook = chance.choice(["launch", "end"])
    decrement = chance.random() < 0.5
    group = {"AutoScalingGroupName": GROUP}
    do: Callable[[], Any] = chance.choice(
        [
            lambda: aws.resize(chance.randint(0, 4)),
            lambda: aws.end(one, decrement=decrement),
            lambda: aws.complete(chance.choice(["CONTINUE", "ABANDON"]), hook=hook, InstanceId=one),
            lambda: aws.autoscaling.enter_standby(
                InstanceIds=[one], ShouldDecrementDesiredCapacity=decrement, **group
            ),
            lambda: aws.autoscaling.exit_standby(InstanceIds=[one], **group),
            lambda: aws.autoscaling.detach_instances(
                InstanceIds=[one], ShouldDecrementDesiredCapacity=decrement, **group
            ),
            lambda: aws.ec2.terminate_instances(InstanceIds=[one]),
            lambda: aws.ec2.stop_instances(InstanceIds=[one]),
            lambda: aws.autoscaling.set_instance_health(
                InstanceId=one, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
            ),
        ]
    )
    with suppress(ClientError):
        do()
    aws.machines.settle()
    backend().advance()
    backend().check_health()
    aws.now += chance.choice([0.0, 1.0, 40.0])


@pytest.mark.parametrize("seed", range(2))
def test_nothing_that_happens_to_a_group_makes_an_impossible_transition(aws: EmulatedAws, seed: int) -> None:
    chance = random.Random(seed)
    aws.group(2, InstanceLifecyclePolicy=RETAIN if seed % 2 else {"RetentionTriggers": {}})
    aws.hook(30, name="launch", result="ABANDON", event="LAUNCHING")
    aws.hook(30, name="end", result="ABANDON")
    for _ in range(STEPS):
        step(aws, chance)
