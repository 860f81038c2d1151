"""Groups, rules and members as EC2 has them are in force, and every change of them is at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.services.ec2.backend import EmulatedEC2, backend
from tests.unit.rehearsal.aws.emulated_aws import GROUP, EmulatedAws

Client = Any


def group(aws: EmulatedAws, name: str) -> str:
    made = aws.ec2.create_security_group(GroupName=name, Description=name)
    return str(made["GroupId"])


def tcp(port: int, **peer: Any) -> dict[str, Any]:  # noqa: ANN401 - a request's data
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port} | peer


def launch(aws: EmulatedAws, *groups: str, **more: Any) -> tuple[str, str]:  # noqa: ANN401 - a request's data
    """Launch an instance; returns its id and address."""
    given = {"SecurityGroupIds": list(groups)} if groups else {}
    made = aws.ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1, **given, **more)["Instances"][0]
    return str(made["InstanceId"]), str(made["PrivateIpAddress"])


def chain(aws: EmulatedAws, address: str, way: str) -> list[str]:
    """What an address may send or receive: the rules of its chain but for the last."""
    text = aws.rulesets[-1]
    _, _, rest = text.partition(f"map {'leaving' if way == 'from' else 'arriving'} {{")
    _, _, name = rest.partition(f"{address} : jump ")
    number = name.split(",")[0].split()[0]
    block = text.partition(f"chain {number} {{")[2].partition("\n}\n")[0].splitlines()
    assert block[-1] == "counter drop"
    return block[1:-1]


def members(aws: EmulatedAws, name: str) -> set[str]:
    """The addresses of a group that a rule names."""
    listed = aws.rulesets[-1].partition(f"set {name} {{")[2].partition("\n}\n")[0]
    return set(listed.partition("{ ")[2].removesuffix(" }").split(", ")) - {""}


def permit(aws: EmulatedAws, receiver: str, permission: dict[str, Any]) -> None:
    aws.ec2.authorize_security_group_ingress(GroupId=receiver, IpPermissions=[permission])


def test_an_instance_receives_what_its_groups_permit_before_its_machine_boots(aws: EmulatedAws) -> None:
    web = group(aws, "web")
    permit(aws, web, tcp(8080, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    _, address = launch(aws, web)
    assert aws.machines.running == set()
    assert chain(aws, address, "to") == ["ip saddr 10.0.0.0/8 tcp dport 8080 return"]
    assert chain(aws, address, "from") == ["return"]


def test_a_source_group_is_its_members_wherever_they_are_launched(aws: EmulatedAws) -> None:
    web, worker = group(aws, "web"), group(aws, "worker")
    permit(aws, web, tcp(8080, UserIdGroupPairs=[{"GroupId": worker}]))
    launch(aws, web)
    assert members(aws, worker) == set()
    name, address = launch(aws, worker)
    assert members(aws, worker) == {address}
    aws.wait()
    aws.ec2.terminate_instances(InstanceIds=[name])
    assert members(aws, worker) == {address}
    aws.wait()
    assert members(aws, worker) == set()


def test_an_auto_scaling_groups_instances_have_the_groups_of_their_template(aws: EmulatedAws) -> None:
    worker = group(aws, "worker")
    permit(aws, worker, tcp(8793, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    template = aws.template(SecurityGroupIds=[worker])
    aws.group(LaunchTemplate={"LaunchTemplateId": template, "Version": "1"})
    (found,) = aws.ids()
    address = aws.instance(found)["PrivateIpAddress"]
    assert chain(aws, address, "to") == ["ip saddr 10.0.0.0/8 tcp dport 8793 return"]
    aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)


def test_interfaces_of_the_request_may_name_the_groups(aws: EmulatedAws) -> None:
    web = group(aws, "web")
    permit(aws, web, tcp(8080, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    _, address = launch(aws, NetworkInterfaces=[{"DeviceIndex": 0, "Groups": [web]}])
    assert chain(aws, address, "to") == ["ip saddr 10.0.0.0/8 tcp dport 8080 return"]


class TestTheDefaultGroup:
    """What an instance without a group gets."""

    def test_its_members_talk_to_each_other_and_nobody_else_to_them(self, aws: EmulatedAws) -> None:
        default = str(backend().get_default_security_group().id)  # type: ignore[union-attr]
        name, one = launch(aws)
        _, other = launch(aws)
        launch(aws, group(aws, "web"))
        assert chain(aws, one, "to") == [f"ip saddr @{default} return"]
        assert members(aws, default) == {one, other}
        assert [each["GroupId"] for each in aws.instance(name)["SecurityGroups"]] == [default]

    def test_each_vpc_has_its_own(self, aws: EmulatedAws) -> None:
        vpc = aws.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        subnet = aws.ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.0.0/20")["Subnet"]["SubnetId"]
        _, elsewhere = launch(aws)
        _, address = launch(aws, SubnetId=subnet)
        (rule,) = chain(aws, address, "to")
        assert members(aws, rule.split()[2].removeprefix("@")) == {address}
        assert chain(aws, elsewhere, "to") != [rule]


Change = Callable[[Client, str, dict[str, Any]], None]
REVOKED: dict[str, Change] = {
    "revoked": lambda ec2, web, rule: ec2.revoke_security_group_ingress(GroupId=web, IpPermissions=[rule]),
    "revoked by its id": lambda ec2, web, _: ec2.revoke_security_group_ingress(
        GroupId=web, SecurityGroupRuleIds=[rule_of(ec2, web)]
    ),
}


def rule_of(ec2: Client, web: str) -> str:
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [web]}])
    (only,) = (each for each in found["SecurityGroupRules"] if not each["IsEgress"])
    return str(only["SecurityGroupRuleId"])


@pytest.mark.parametrize("how", REVOKED)
def test_a_rule_that_goes_is_out_of_force_at_once(aws: EmulatedAws, how: str) -> None:
    web = group(aws, "web")
    rule = tcp(8080, IpRanges=[{"CidrIp": "10.0.0.0/8"}])
    permit(aws, web, rule)
    _, address = launch(aws, web)
    REVOKED[how](aws.ec2, web, rule)
    assert chain(aws, address, "to") == []


def test_a_changed_rule_is_in_force_at_once(aws: EmulatedAws) -> None:
    web = group(aws, "web")
    permit(aws, web, tcp(8080, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    _, address = launch(aws, web)
    aws.ec2.modify_security_group_rules(
        GroupId=web,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": rule_of(aws.ec2, web),
                "SecurityGroupRule": {
                    "IpProtocol": "tcp",
                    "FromPort": 8081,
                    "ToPort": 8082,
                    "CidrIpv4": "10.1.0.0/16",
                },
            }
        ],
    )
    assert chain(aws, address, "to") == ["ip saddr 10.1.0.0/16 tcp dport 8081-8082 return"]


def test_egress_is_restricted_by_its_own_rules(aws: EmulatedAws) -> None:
    worker, database = group(aws, "worker"), group(aws, "database")
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    _, address = launch(aws, worker)
    aws.ec2.authorize_security_group_egress(
        GroupId=worker, IpPermissions=[tcp(5432, UserIdGroupPairs=[{"GroupId": database}])]
    )
    aws.ec2.revoke_security_group_egress(GroupId=worker, IpPermissions=[everything])
    assert chain(aws, address, "from") == [f"ip daddr @{database} tcp dport 5432 return"]


def test_a_prefix_list_stands_for_its_networks_and_follows_them(aws: EmulatedAws) -> None:
    made = aws.ec2.create_managed_prefix_list(
        PrefixListName="offices", Entries=[{"Cidr": "10.8.0.0/16"}], MaxEntries=5, AddressFamily="IPv4"
    )["PrefixList"]["PrefixListId"]
    web = group(aws, "web")
    permit(aws, web, tcp(443, PrefixListIds=[{"PrefixListId": made}]))
    _, address = launch(aws, web)
    assert chain(aws, address, "to") == ["ip saddr 10.8.0.0/16 tcp dport 443 return"]
    aws.ec2.modify_managed_prefix_list(
        PrefixListId=made, CurrentVersion=1, AddEntries=[{"Cidr": "10.9.0.0/16"}]
    )
    assert "ip saddr 10.9.0.0/16 tcp dport 443 return" in chain(aws, address, "to")


def test_the_prefix_list_of_s3_has_networks(aws: EmulatedAws) -> None:
    listed = aws.ec2.describe_managed_prefix_lists()["PrefixLists"]
    (of_s3,) = (
        each["PrefixListId"] for each in listed if each["PrefixListName"] == "com.amazonaws.us-east-1.s3"
    )
    web = group(aws, "web")
    permit(aws, web, tcp(443, PrefixListIds=[{"PrefixListId": of_s3}]))
    _, address = launch(aws, web)
    assert len(chain(aws, address, "to")) == 3


Give = Callable[[Client, dict[str, Any], list[str]], None]
GIVEN: dict[str, Give] = {
    "the instance": lambda ec2, instance, groups: ec2.modify_instance_attribute(
        InstanceId=instance["InstanceId"], Groups=groups
    ),
    "its interface": lambda ec2, instance, groups: ec2.modify_network_interface_attribute(
        NetworkInterfaceId=instance["NetworkInterfaces"][0]["NetworkInterfaceId"], Groups=groups
    ),
}


@pytest.mark.parametrize("to", GIVEN)
def test_other_groups_take_the_place_of_an_instances_own(aws: EmulatedAws, to: str) -> None:
    one, other = group(aws, "one"), group(aws, "other")
    permit(aws, one, tcp(1, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    permit(aws, other, tcp(2, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    name, address = launch(aws, one)
    GIVEN[to](aws.ec2, aws.instance(name), [other])
    assert chain(aws, address, "to") == ["ip saddr 10.0.0.0/8 tcp dport 2 return"]
    described = aws.instance(name)
    assert [each["GroupId"] for each in described["SecurityGroups"]] == [other]
    assert [each["GroupId"] for each in described["NetworkInterfaces"][0]["Groups"]] == [other]


@pytest.mark.parametrize("to", GIVEN)
def test_a_group_that_does_not_exist_is_refused(aws: EmulatedAws, to: str) -> None:
    name, _ = launch(aws, group(aws, "one"))
    with pytest.raises(ClientError, match=r"InvalidGroup\.NotFound"):
        GIVEN[to](aws.ec2, aws.instance(name), ["sg-0123456789abcdef0"])


def test_a_deleted_group_permits_nothing(aws: EmulatedAws) -> None:
    web = group(aws, "web")
    permit(aws, web, tcp(8080, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    _, address = launch(aws, web)
    aws.ec2.delete_security_group(GroupId=web)
    assert chain(aws, address, "to") == []


def test_a_change_that_concerns_nobody_tells_nft_nothing(aws: EmulatedAws) -> None:
    permit(aws, group(aws, "web"), tcp(8080, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    assert aws.rulesets == []


def test_members_that_are_no_instances_are_listed_by_their_services(aws: EmulatedAws) -> None:
    database = group(aws, "database")
    permit(aws, database, tcp(5432, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    EmulatedEC2.firewall.members.append(lambda: [("10.42.0.10", [database])])
    backend().enforce()
    assert chain(aws, "10.42.0.10", "to") == ["ip saddr 10.0.0.0/8 tcp dport 5432 return"]


def test_an_address_that_is_given_out_again_is_its_newest_instances(aws: EmulatedAws) -> None:
    old, new = group(aws, "old"), group(aws, "new")
    permit(aws, new, tcp(2, IpRanges=[{"CidrIp": "10.0.0.0/8"}]))
    first = {"DeviceIndex": 0, "DeleteOnTermination": True, "Groups": [old]}
    name, address = launch(aws, NetworkInterfaces=[first])
    aws.wait()
    aws.ec2.terminate_instances(InstanceIds=[name])
    _, again = launch(aws, new, PrivateIpAddress=address)
    assert again == address
    assert chain(aws, address, "to") == ["ip saddr 10.0.0.0/8 tcp dport 2 return"]
