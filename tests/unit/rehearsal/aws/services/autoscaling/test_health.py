"""Unhealthy instances are replaced: what EC2, load balancers and people say, and what suspending stops."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.services.autoscaling.health import ENDED, Checks, is_valid, unhealthy_because
from tests.unit.rehearsal.aws.emulated_aws import GROUP, EmulatedAws

GRACE = 100


@pytest.mark.parametrize("state", ENDED)
def test_an_instance_that_does_not_run_is_unhealthy_even_in_the_grace_period(state: str) -> None:
    assert unhealthy_because(Checks("EC2", GRACE), state, [], 0) == f"EC2 says {state}"


@pytest.mark.parametrize("types", ["ELB", "EC2,ELB"])
def test_one_target_group_is_enough_after_the_grace_period(types: str) -> None:
    checks = Checks(types, GRACE)
    assert unhealthy_because(checks, "running", ["healthy", "unhealthy"], GRACE - 1) is None
    assert unhealthy_because(checks, "running", ["healthy", "unhealthy"], GRACE) is not None


@pytest.mark.parametrize("state", ["initial", "healthy", "unused", "draining", "unavailable"])
def test_other_states_of_a_target_are_not_bad_health(state: str) -> None:
    assert unhealthy_because(Checks("ELB", 0), "running", [state], 1) is None


def test_a_group_that_asks_ec2_does_not_ask_load_balancers() -> None:
    assert unhealthy_because(Checks("EC2", 0), "running", ["unhealthy"], 1) is None


@pytest.mark.parametrize(
    ("types", "valid"), [("EC2", True), ("EC2,ELB", True), ("ELB,ELB", False), ("HTTP", False)]
)
def test_health_checks_have_names(types: str, *, valid: bool) -> None:
    assert is_valid(types) is valid


def balanced(aws: EmulatedAws, kind: str = "ELB") -> tuple[str, str]:
    """Return the ARN of a group's target group, and its instance that is unhealthy there."""
    arn = aws.target_group()
    aws.group(1, TargetGroupARNs=[arn], HealthCheckType=kind, HealthCheckGracePeriod=GRACE)
    (instance_id,) = aws.ids()
    aws.target_health[arn] = {instance_id: "unhealthy"}
    return arn, instance_id


def test_what_a_load_balancer_finds_unhealthy_is_replaced_after_the_grace_period(aws: EmulatedAws) -> None:
    _, instance_id = balanced(aws)
    aws.wait(GRACE - 10)
    assert aws.states() == {instance_id: "InService"}
    aws.wait(20)
    assert list(aws.states().values()) == ["InService"]
    assert instance_id not in aws.ids()


def test_a_group_without_load_balancer_checks_keeps_it(aws: EmulatedAws) -> None:
    _, instance_id = balanced(aws, "EC2")
    aws.wait(3 * GRACE)
    assert aws.states() == {instance_id: "InService"}


def test_suspended_health_checks_mark_nothing(aws: EmulatedAws) -> None:
    _, instance_id = balanced(aws)
    aws.suspend("HealthCheck")
    aws.wait(2 * GRACE)
    assert aws.states() == {instance_id: "InService"}
    assert aws.described()["Instances"][0]["HealthStatus"] == "Healthy"
    aws.autoscaling.set_instance_health(InstanceId=instance_id, HealthStatus="Unhealthy")
    aws.wait(10)
    assert instance_id not in aws.ids(), "the health that somebody set counts"


@pytest.mark.parametrize("process", ["ReplaceUnhealthy", "Terminate"])
def test_what_is_marked_stays_while_a_process_is_suspended(aws: EmulatedAws, process: str) -> None:
    _, instance_id = balanced(aws)
    aws.suspend(process)
    aws.wait(2 * GRACE)
    assert aws.states() == {instance_id: "InService"}
    assert aws.described()["Instances"][0]["HealthStatus"] == "Unhealthy"
    aws.resume()
    aws.wait(10)
    assert instance_id not in aws.ids()


def test_an_instance_that_came_while_addtoloadbalancer_was_suspended_is_never_registered(
    aws: EmulatedAws,
) -> None:
    arn = aws.target_group()
    aws.group(0, TargetGroupARNs=[arn])
    aws.suspend("AddToLoadBalancer")
    aws.resize(1)
    aws.wait()
    (first,) = aws.ids()
    aws.resume()
    aws.resize(2)
    aws.wait(10)

    def registered() -> set[str]:
        found = aws.elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {each["Target"]["Id"] for each in found if each["TargetHealth"]["State"] != "draining"}

    assert registered() == set(aws.ids()) - {first}
    aws.elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": first}])
    aws.resize(3)
    aws.wait(10)
    assert registered() == set(aws.ids()), "what somebody registered stays"


def test_an_unknown_health_check_is_refused(aws: EmulatedAws) -> None:
    aws.group(0)
    with pytest.raises(ClientError, match="HealthCheckType TCP is not valid"):
        aws.update(HealthCheckType="TCP")
    assert aws.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
