"""Enforces security groups between machines.

Reproduced, from the EC2 user guide ("Amazon EC2 security groups", "Security group connection tracking") and
the VPC user guide ("Control traffic to your AWS resources using security groups", "Default security groups"):

- A connection is possible if one of the source's groups permits it to leave and one of the destination's
  groups permits it to arrive: by protocol, ports or ICMP type, and network, prefix list or group. A group in
  a rule stands for the private addresses of its members. Everything else is dropped without an answer.
- Groups are stateful. Answers need no rule, and a connection outlasts the rule that has permitted it: "When
  you change a security group rule, its tracked connections are not immediately interrupted".
- A change of rules or of an instance's groups counts at once, for running instances too.
- An instance that is launched without a group gets the default group of its VPC, whose members may talk to
  each other and to everybody.
- Not filtered: the VPC's DNS server, instance metadata, the time service and the other link-local addresses.

Members are instances with the groups of their launch, request or template, until they are terminated, and
whatever ``Firewall.members`` lists besides: database instances and load balancers.

Left out: the emulated APIs, which every instance reaches as if by an endpoint that admits all, so groups of
VPC endpoints have no effect; what the rehearsal's own commands open from outside the VPC (Packer's SSH, the
ports on 127.0.0.1, tests); which VPC a member is in, as all are on one bridge; connections that EC2 does not
track, and ends with their rule; the refusal to delete a group in use; network ACLs; a second interface;
source/destination checks; groups of mount targets and caches, which have no machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv4Network

from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupNotFoundError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupRule
from moto.ec2.models.vpcs import VPC

from rehearsal.aws.services.patching import Moto
from rehearsal.linux.packet_filter import Group, Permission, ruleset

Pairs = Iterable[tuple[str, Collection[str]]]
"""Addresses with the ids of their groups."""
NUMBERS = {"icmpv6": "58"}
"""Protocols that EC2 names and nftables does not."""


class Firewall:
    """What enforces the groups of one rehearsal."""

    def __init__(self, apply: Callable[[str], None]) -> None:
        """``apply`` takes the text of a ruleset for nft."""
        self.members: list[Callable[[], Pairs]] = []
        """Each lists members that are not instances."""
        self._apply = apply
        self._lock = threading.Lock()
        self._applied = ruleset({}, {})

    def enforce(self, ec2: EC2Backend) -> None:
        """Put the present members, groups and rules into force; without a change, nothing happens."""
        with self._lock:
            wanted = ruleset(self._members(ec2), _groups(ec2))
            if wanted != self._applied:
                self._apply(wanted)
                self._applied = wanted

    def _members(self, ec2: EC2Backend) -> dict[IPv4Address, Collection[str]]:
        """The groups of each address. An address that was given out again is its newest instance's."""
        instances = [
            (str(each.private_ip), [group.id for group in each.security_groups])
            for each in ec2.all_instances()
            if each.state != "terminated"
        ]
        others = [pair for listed in self.members for pair in listed()]
        return {IPv4Address(address): groups for address, groups in [*instances, *others]}


class EnforcedSecurityGroups(EC2Backend):
    """The part of EC2 that changes who is a member of which group, or what a group permits."""

    firewall: Firewall

    def enforce(self) -> None:
        """Put the present groups into force."""
        self.firewall.enforce(self)

    def create_vpc(self, *args: Moto, **options: Moto) -> VPC:
        """Create a VPC, whose default group admits its own members."""
        vpc = super().create_vpc(*args, **options)
        group = self.get_default_security_group(vpc.id)
        if group is not None and not group.ingress_rules:
            itself = {"GroupId": group.id, "UserId": self.account_id}
            group.add_ingress_rule(
                SecurityGroupRule(self, "-1", group.id, None, None, None, itself, is_egress=False)
            )
        return vpc

    def authorize_security_group_ingress(self, *args: Moto, **options: Moto) -> Moto:
        """Permit traffic to a group's members."""
        return self._enforced(super().authorize_security_group_ingress(*args, **options))

    def authorize_security_group_egress(self, *args: Moto, **options: Moto) -> Moto:
        """Permit traffic from a group's members."""
        return self._enforced(super().authorize_security_group_egress(*args, **options))

    def revoke_security_group_ingress(self, *args: Moto, **options: Moto) -> None:
        """Withdraw a permission; connections continue."""
        self._enforced(super().revoke_security_group_ingress(*args, **options))

    def revoke_security_group_egress(self, *args: Moto, **options: Moto) -> None:
        """Withdraw a permission; connections continue."""
        self._enforced(super().revoke_security_group_egress(*args, **options))

    def modify_security_group_rules(self, *args: Moto, **options: Moto) -> None:
        """Change rules by their ids."""
        self._enforced(super().modify_security_group_rules(*args, **options))

    def delete_security_group(self, *args: Moto, **options: Moto) -> None:
        """Delete a group with its rules."""
        self._enforced(super().delete_security_group(*args, **options))

    def modify_managed_prefix_list(self, *args: Moto, **options: Moto) -> Moto:
        """Change the networks of a prefix list."""
        return self._enforced(super().modify_managed_prefix_list(*args, **options))

    def modify_instance_security_groups(self, instance_id: str, new_group_id_list: list[str]) -> Instance:
        """Give an instance other groups in place of its own.

        :raises EC2ClientError: one does not exist, or there is none.
        """
        instance = self.get_instance(instance_id)
        groups = self._existing(new_group_id_list)
        instance.nics[0]._group_set = list(groups)
        instance.security_groups = groups
        self.enforce()
        return instance

    def modify_network_interface_attribute(
        self, eni_id: str, group_ids: list[str], *args: Moto, **options: Moto
    ) -> None:
        """Change an interface, its groups among it.

        :raises EC2ClientError: a group does not exist.
        """
        groups = self._existing(group_ids) if group_ids else []
        super().modify_network_interface_attribute(eni_id, group_ids, *args, **options)
        interface = self.get_network_interface(eni_id)
        if groups and interface.instance is not None and interface.instance.nics.get(0) is interface:
            interface.instance.security_groups = groups
        self.enforce()

    def _existing(self, group_ids: list[str]) -> list[SecurityGroup]:
        """The groups with these ids."""
        if not group_ids:
            raise EC2ClientError("InvalidParameterCombination", "No attributes specified.")
        found = []
        for group_id in group_ids:
            group = self.get_security_group_from_id(group_id)
            if group is None:
                raise InvalidSecurityGroupNotFoundError(group_id)
            found.append(group)
        return found

    def _enforced(self, answer: Moto) -> Moto:
        self.enforce()
        return answer


def _groups(ec2: EC2Backend) -> dict[str, Group]:
    return {
        group.id: Group(
            tuple(_permission(ec2, rule) for rule in group.ingress_rules),
            tuple(_permission(ec2, rule) for rule in group.egress_rules),
        )
        for groups in list(ec2.groups.values())
        for group in list(groups.values())
    }


def _permission(ec2: EC2Backend, rule: SecurityGroupRule) -> Permission:
    """What a rule permits; nothing if its peers have IPv6 addresses."""
    networks = [rule.cidr_ipv4] if rule.cidr_ipv4 else []
    if rule.prefix_list_id:
        listed = ec2.managed_prefix_lists.get(rule.prefix_list_id)
        versions = list(listed.entries.values()) if listed and listed.address_family == "IPv4" else []
        networks = [str(entry["Cidr"]) for entry in versions[-1]] if versions else []
    protocol = str(rule.ip_protocol)
    return Permission(
        NUMBERS.get(protocol, protocol),
        -1 if rule.from_port is None else int(rule.from_port),
        -1 if rule.to_port is None else int(rule.to_port),
        tuple(str(IPv4Network(network, strict=False)) for network in networks),
        rule.source_group.get("GroupId"),
    )
