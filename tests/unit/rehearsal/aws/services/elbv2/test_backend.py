"""The emulated Elastic Load Balancing: what is recorded is served, and health is what the checks found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws import authority
from rehearsal.aws.services.elbv2.backend import EmulatedELB, backend, endpoints
from rehearsal.aws.services.elbv2.models import Check
from tests.unit.rehearsal.aws.services.elbv2.balancers import Balancers, emulate

UP, DOWN = Check("UP", "L7OK", "200"), Check("DOWN", "L4CON", "")


@pytest.fixture
def aws() -> Iterator[Balancers]:
    with emulate() as made:
        yield made


@pytest.fixture
def served(aws: Balancers) -> tuple[str, str, str]:
    """A load balancer with one listener and one target; returns its ARN, the group's, and the target's id."""
    target, _ = aws.instance()
    group = aws.group(target)
    arn, _ = aws.load_balancer()
    aws.listener(arn, group)
    aws.settle()
    return arn, group, target


def test_a_load_balancer_is_active_once_it_is_served_at_its_own_address(aws: Balancers) -> None:
    arn, _ = aws.load_balancer()
    assert aws.status() == "provisioning"
    aws.settle()
    assert aws.status() == "active"
    assert aws.server.desired is not None
    assert aws.server.desired.addresses == (aws.address(arn),)


def test_two_have_two_addresses_and_one_that_is_deleted_gives_its_own_back(aws: Balancers) -> None:
    (first, _), (second, _) = aws.load_balancer("first"), aws.load_balancer("second")
    addresses = [aws.address(first), aws.address(second)]
    assert len(set(addresses)) == 2
    aws.elbv2.delete_load_balancer(LoadBalancerArn=first)
    aws.settle()
    assert aws.server.desired is not None
    assert aws.server.desired.addresses == (addresses[1],)
    assert len(aws.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1
    again, _ = aws.load_balancer("third")
    assert aws.address(again) == addresses[0]


def test_its_interface_has_its_security_groups_and_every_change_of_them_is_told(aws: Balancers) -> None:
    first, second = (
        aws.ec2.create_security_group(GroupName=name, Description=name, VpcId=aws.vpc)["GroupId"]
        for name in ("first", "second")
    )
    (made,) = aws.elbv2.create_load_balancer(Name="internal", Subnets=aws.subnets, SecurityGroups=[first])[
        "LoadBalancers"
    ]
    arn = made["LoadBalancerArn"]
    assert endpoints() == [(str(aws.address(arn)), [first])]
    aws.elbv2.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[second])
    assert endpoints() == [(str(aws.address(arn)), [second])]
    aws.elbv2.delete_load_balancer(LoadBalancerArn=arn)
    assert endpoints() == []
    assert aws.moves == [1, 1, 0]


def test_the_server_goes_with_the_last_load_balancer(aws: Balancers, served: tuple[str, str, str]) -> None:
    arn, _, _ = served
    aws.elbv2.delete_load_balancer(LoadBalancerArn=arn)
    aws.settle()
    assert aws.server.desired is None


def test_a_protected_load_balancer_keeps_its_address(aws: Balancers, served: tuple[str, str, str]) -> None:
    arn, _, _ = served
    protect = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    aws.elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=protect)
    with pytest.raises(aws.elbv2.exceptions.OperationNotPermittedException):
        aws.elbv2.delete_load_balancer(LoadBalancerArn=arn)
    aws.settle()
    assert aws.server.desired is not None
    assert aws.status() == "active"


def test_a_listener_of_https_has_the_policys_versions_and_the_certificate_in_memory(
    aws: Balancers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority, "FOLDER", tmp_path / "authority")
    key, certificate = authority.key_and_certificate("airflow.example.internal")
    imported = aws.acm.import_certificate(
        Certificate=certificate, PrivateKey=key, CertificateChain=authority.certificate()
    )
    arn, _ = aws.load_balancer()
    aws.listener(
        arn,
        aws.group(),
        Protocol="HTTPS",
        Port=443,
        SslPolicy="ELBSecurityPolicy-TLS13-1-3-2021-06",
        Certificates=[{"CertificateArn": imported["CertificateArn"]}],
    )
    aws.settle()
    assert aws.server.desired is not None
    ((path, text),) = aws.server.desired.certificates.items()
    assert text == f"{certificate}{authority.certificate()}{key}"
    assert path.startswith("/run/")
    assert f":443 ssl crt {path} ssl-min-ver TLSv1.3" in aws.server.text
    assert key not in aws.server.text


def test_rules_are_asked_by_priority(aws: Balancers, served: tuple[str, str, str]) -> None:
    arn, group, _ = served
    (listener,) = aws.elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    for priority, path in ((20, "/later"), (3, "/first")):
        aws.elbv2.create_rule(
            ListenerArn=listener["ListenerArn"],
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [path]}],
            Actions=forward,
        )
    aws.settle()
    assert "acl rule0_0 path -m reg -- '^/first$'" in aws.server.text
    assert "acl rule1_0 path -m reg -- '^/later$'" in aws.server.text


def test_every_operation_that_changes_something_is_followed_by_a_load(aws: Balancers) -> None:
    changing = ("add_", "create_", "delete_", "deregister_", "modify_", "register_", "remove_", "set_")
    harmless = {
        "create_target_group",  # nothing uses it yet
        "delete_target_group",  # nothing may use it any more
        "modify_listener_attributes",  # of Network Load Balancers
        "remove_tags",
        "add_tags",
        "set_ip_address_type",
        "set_subnets",
    }
    methods = {name for name in dir(EmulatedELB) if name.startswith(changing)}
    own = {name for name in vars(EmulatedELB) if name.startswith(changing)}
    assert methods - own == harmless & methods
    assert aws.jobs == []


def test_changes_at_once_are_one_load_and_none_is_needed_for_what_changes_nothing(
    aws: Balancers, served: tuple[str, str, str]
) -> None:
    arn, group, target = served
    assert aws.server.loads == 1
    for seconds in ("70", "80"):
        aws.elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=arn, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": seconds}]
        )
    aws.settle()
    assert aws.server.loads == 2
    assert "timeout client 80s" in aws.server.text
    aws.register(group, target)
    aws.settle()
    assert aws.server.loads == 2


def test_a_load_that_failed_is_made_up_for_by_the_next_change(aws: Balancers) -> None:
    arn, _ = aws.load_balancer()
    aws.server.broken = True
    aws.settle()
    assert aws.status() == "provisioning"
    aws.server.broken = False
    aws.listener(arn, aws.group())
    aws.settle()
    assert aws.status() == "active"


def test_a_new_target_is_initial_until_its_first_check_and_then_its_threshold_counts(
    aws: Balancers, served: tuple[str, str, str]
) -> None:
    _, group, target = served
    assert aws.health(group) == {target: "initial"}
    assert f"server {target} " in aws.server.text
    assert "rise 1" in aws.server.text
    assert aws.server.state.split()[6] == "0"
    aws.server.found = {target: UP}
    assert aws.health(group) == {target: "healthy"}
    aws.settle()
    assert "rise 2" in aws.server.text
    assert aws.server.state.split()[6] == "2"
    aws.server.found = {target: DOWN}
    assert aws.health(group) == {target: "unhealthy"}


def test_a_target_that_never_passes_is_unhealthy_after_its_checks(
    aws: Balancers, served: tuple[str, str, str]
) -> None:
    _, group, target = served
    aws.server.found = {target: DOWN}
    assert backend().states(group) == aws.health(group) == {target: "initial"}
    aws.now += 30
    assert backend().states(group) == aws.health(group) == {target: "unhealthy"}
    assert backend().states("arn:of-a-group-that-is-gone") == {}


def test_a_deregistered_target_drains_for_the_delay_and_gets_no_requests(
    aws: Balancers, served: tuple[str, str, str]
) -> None:
    _, group, target = served
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "60"}]
    aws.elbv2.modify_target_group_attributes(TargetGroupArn=group, Attributes=delay)
    aws.deregister(group, target)
    aws.settle()
    assert target not in aws.server.text
    assert aws.health(group) == {target: "draining"}
    aws.now += 60
    assert aws.health(group) == {}
    assert aws.health(group, target) == {target: "unused"}


def test_a_target_that_comes_back_is_new(aws: Balancers, served: tuple[str, str, str]) -> None:
    _, group, target = served
    aws.server.found = {target: UP}
    aws.health(group)
    aws.deregister(group, target)
    aws.register(group, target)
    aws.server.found = {target: DOWN}
    aws.settle()
    assert aws.health(group) == {target: "initial"}


def test_an_instance_that_ends_is_deregistered(aws: Balancers, served: tuple[str, str, str]) -> None:
    _, group, target = served
    aws.ec2.terminate_instances(InstanceIds=[target])
    aws.settle()
    assert aws.health(group) == {target: "draining"}
    assert target not in aws.server.text


def test_a_stopped_instance_and_a_group_that_no_listener_uses_are_unused(
    aws: Balancers, served: tuple[str, str, str]
) -> None:
    _, group, target = served
    other = aws.group(target, name="idle")
    assert aws.health(other) == {target: "unused"}
    aws.ec2.stop_instances(InstanceIds=[target])
    assert aws.health(group) == {target: "unused"}


def test_a_target_is_a_known_instance_or_an_address(aws: Balancers) -> None:
    group = aws.group()
    with pytest.raises(aws.elbv2.exceptions.InvalidTargetException):
        aws.register(group, "i-0123456789abcdef0")
    given = {"Name": "addresses", "Protocol": "HTTP", "Port": 80, "VpcId": aws.vpc, "TargetType": "ip"}
    (made,) = aws.elbv2.create_target_group(**given)["TargetGroups"]
    with pytest.raises(ClientError, match="not valid"):
        aws.register(made["TargetGroupArn"], "10.20.0")
    assert aws.health(group) == aws.health(made["TargetGroupArn"]) == {}


def test_new_targets_are_watched_and_others_only_when_asked(
    aws: Balancers, served: tuple[str, str, str]
) -> None:
    _, _, target = served
    aws.server.found = {target: UP}
    backend().watch()
    aws.settle()
    assert "rise 2" in aws.server.text
    backend().watch()
    assert aws.jobs == []
