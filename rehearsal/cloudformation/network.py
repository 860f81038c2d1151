"""The table of resource types, first part: what EC2's networks, load balancers and names are made of."""

from __future__ import annotations

from rehearsal.cloudformation.calls import Call, Each, Kind, call, every
from rehearsal.cloudformation.template import Json

EC2_TAGS = Each(
    "Tags",
    call("ec2.create_tags", Resources=["$id"], Tags=["$item"]),
    call("ec2.delete_tags", Resources=["$id"], Tags=[{"Key": "$item.Key"}]),
)
_FIRST = "[?State!='deleted'] | [0]"


def _of_rule(group: str, prefix_list: str) -> list[Json]:
    """A rule as EC2's API takes it: what it speaks of is a list of its own for each form."""
    return [
        {
            "IpProtocol": "$IpProtocol",
            "FromPort": "$FromPort",
            "ToPort": "$ToPort",
            "UserIdGroupPairs": [{"GroupId": f"$!{group}", "Description": "$Description"}],
            "IpRanges": [{"CidrIp": "$!CidrIp", "Description": "$Description"}],
            "PrefixListIds": [{"PrefixListId": f"$!{prefix_list}", "Description": "$Description"}],
        }
    ]


def _rule(direction: str, group: str, prefix_list: str) -> Kind:
    return Kind(
        create=call(
            f"ec2.authorize_security_group_{direction}",
            GroupId="$GroupId",
            IpPermissions=_of_rule(group, prefix_list),
        ),
        id="answer.SecurityGroupRules[0].SecurityGroupRuleId",
        read=call("ec2.describe_security_group_rules", SecurityGroupRuleIds=["$id"]),
        found="SecurityGroupRules[0]",
        delete=call(
            f"ec2.revoke_security_group_{direction}", GroupId="$GroupId", SecurityGroupRuleIds=["$id"]
        ),
        change=(
            call(
                f"ec2.update_security_group_rule_descriptions_{direction}",
                GroupId="$GroupId",
                SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": "$id", "Description": "$Description"}],
            ),
        ),
        replace=f"GroupId IpProtocol FromPort ToPort CidrIp {group} {prefix_list}",
    )


def _own_egress(operation: str) -> Call:
    rule = {name: f"$item.{name}" for name in ("IpProtocol", "FromPort", "ToPort")}
    ranges = {"IpRanges": [{"CidrIp": "$!item.CidrIp", "Description": "$item.Description"}]}
    return call(f"ec2.{operation}_security_group_egress", GroupId="$id", IpPermissions=[rule | ranges])


ANYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
"""The rule that EC2 gives to each new group; CloudFormation takes it away where a group names its egress."""

KINDS: dict[str, Kind] = {
    "AWS::EC2::VPC": Kind(
        create=call("ec2.create_vpc", CidrBlock="$CidrBlock"),
        id="answer.Vpc.VpcId",
        read=call("ec2.describe_vpcs", VpcIds=["$id"]),
        found="Vpcs[0]",
        delete=call("ec2.delete_vpc", VpcId="$id"),
        then=(
            call("ec2.modify_vpc_attribute", VpcId="$id", EnableDnsSupport={"Value": "$EnableDnsSupport"}),
            call(
                "ec2.modify_vpc_attribute", VpcId="$id", EnableDnsHostnames={"Value": "$EnableDnsHostnames"}
            ),
            EC2_TAGS,
        ),
        replace="CidrBlock",
    ),
    "AWS::EC2::InternetGateway": Kind(
        create=call("ec2.create_internet_gateway"),
        id="answer.InternetGateway.InternetGatewayId",
        read=call("ec2.describe_internet_gateways", InternetGatewayIds=["$id"]),
        found="InternetGateways[0]",
        delete=call("ec2.delete_internet_gateway", InternetGatewayId="$id"),
        then=(EC2_TAGS,),
    ),
    "AWS::EC2::VPCGatewayAttachment": Kind(
        create=every("ec2.attach_internet_gateway"),
        id="join('|', [InternetGatewayId, VpcId])",
        read=call("ec2.describe_internet_gateways", InternetGatewayIds=["$InternetGatewayId"]),
        found="InternetGateways[].Attachments[] | [?VpcId=='%(VpcId)s'] | [0]",
        delete=every("ec2.detach_internet_gateway"),
        replace="VpcId InternetGatewayId",
    ),
    "AWS::EC2::Subnet": Kind(
        create=every("ec2.create_subnet", without="Tags"),
        id="answer.Subnet.SubnetId",
        read=call("ec2.describe_subnets", SubnetIds=["$id"]),
        found="Subnets[0]",
        delete=call("ec2.delete_subnet", SubnetId="$id"),
        then=(EC2_TAGS,),
        replace="VpcId AvailabilityZone CidrBlock",
    ),
    "AWS::EC2::RouteTable": Kind(
        create=call("ec2.create_route_table", VpcId="$VpcId"),
        id="answer.RouteTable.RouteTableId",
        read=call("ec2.describe_route_tables", RouteTableIds=["$id"]),
        found="RouteTables[0]",
        delete=call("ec2.delete_route_table", RouteTableId="$id"),
        then=(EC2_TAGS,),
        replace="VpcId",
    ),
    "AWS::EC2::SubnetRouteTableAssociation": Kind(
        create=every("ec2.associate_route_table"),
        id="answer.AssociationId",
        read=call("ec2.describe_route_tables", RouteTableIds=["$RouteTableId"]),
        found="RouteTables[0].Associations[?RouteTableAssociationId=='%(id)s'] | [0]",
        delete=call("ec2.disassociate_route_table", AssociationId="$id"),
        replace="SubnetId RouteTableId",
    ),
    "AWS::EC2::Route": Kind(
        create=every("ec2.create_route"),
        id="join('|', [RouteTableId, DestinationCidrBlock])",
        read=call("ec2.describe_route_tables", RouteTableIds=["$RouteTableId"]),
        found="RouteTables[0].Routes[?DestinationCidrBlock=='%(DestinationCidrBlock)s'] | [0]",
        delete=every("ec2.delete_route", without="NatGatewayId GatewayId"),
        change=(every("ec2.replace_route"),),
        replace="RouteTableId DestinationCidrBlock",
    ),
    "AWS::EC2::EIP": Kind(
        create=every("ec2.allocate_address", without="Tags"),
        id="answer.PublicIp",
        read=call("ec2.describe_addresses", PublicIps=["$id"]),
        found="Addresses[0]",
        delete=call("ec2.release_address", AllocationId="$attributes.AllocationId"),
        then=(
            Each(
                "Tags",
                call("ec2.create_tags", Resources=["$attributes.AllocationId"], Tags=["$item"]),
                call("ec2.delete_tags", Resources=["$attributes.AllocationId"], Tags=[{"Key": "$item.Key"}]),
            ),
        ),
        replace="Domain",
        attributes={"AllocationId": "found.AllocationId", "PublicIp": "found.PublicIp"},
    ),
    "AWS::EC2::NatGateway": Kind(
        create=every("ec2.create_nat_gateway", without="Tags"),
        id="answer.NatGateway.NatGatewayId",
        read=call("ec2.describe_nat_gateways", NatGatewayIds=["$id"]),
        found=f"NatGateways{_FIRST}",
        delete=call("ec2.delete_nat_gateway", NatGatewayId="$id"),
        then=(EC2_TAGS,),
        replace="AllocationId SubnetId",
        ready="State == 'available'",
    ),
    "AWS::EC2::VPCEndpoint": Kind(
        create=every("ec2.create_vpc_endpoint", without="Tags"),
        id="answer.VpcEndpoint.VpcEndpointId",
        read=call("ec2.describe_vpc_endpoints", VpcEndpointIds=["$id"]),
        found=f"VpcEndpoints{_FIRST}",
        delete=call("ec2.delete_vpc_endpoints", VpcEndpointIds=["$id"]),
        change=(every("ec2.modify_vpc_endpoint", VpcEndpointId="$id"),),
        then=(
            *(
                Each(
                    name,
                    call("ec2.modify_vpc_endpoint", VpcEndpointId="$id", **{f"Add{name}": ["$item"]}),
                    call("ec2.modify_vpc_endpoint", VpcEndpointId="$id", **{f"Remove{name}": ["$item"]}),
                    initial=False,
                )
                for name in ("SubnetIds", "RouteTableIds", "SecurityGroupIds")
            ),
            EC2_TAGS,
        ),
        replace="VpcId ServiceName VpcEndpointType",
    ),
    "AWS::EC2::FlowLog": Kind(
        create=every("ec2.create_flow_logs", ResourceIds=["$ResourceId"], without="Tags DestinationOptions"),
        id="answer.FlowLogIds[0]",
        read=call("ec2.describe_flow_logs", FlowLogIds=["$id"]),
        found="FlowLogs[0]",
        delete=call("ec2.delete_flow_logs", FlowLogIds=["$id"]),
        then=(EC2_TAGS,),
        replace="ResourceId ResourceType TrafficType LogDestinationType LogDestination DestinationOptions",
        recorded="DestinationOptions",
    ),
    "AWS::EC2::SecurityGroup": Kind(
        create=call(
            "ec2.create_security_group",
            GroupName="$name",
            Description="$GroupDescription",
            VpcId="$VpcId",
        ),
        id="answer.GroupId",
        read=call("ec2.describe_security_groups", GroupIds=["$id"]),
        found="SecurityGroups[0]",
        delete=call("ec2.delete_security_group", GroupId="$id"),
        name="GroupName:255",
        then=(
            call(
                "ec2.revoke_security_group_egress",
                when="SecurityGroupEgress && attributes.open",
                GroupId="$id",
                IpPermissions=[ANYWHERE],
            ),
            Each("SecurityGroupEgress", _own_egress("authorize"), _own_egress("revoke")),
            EC2_TAGS,
        ),
        replace="GroupName GroupDescription VpcId",
        attributes={
            "GroupId": "found.GroupId",
            "VpcId": "found.VpcId",
            "open": "found.IpPermissionsEgress[?IpProtocol=='-1'].IpRanges[] | [?CidrIp=='0.0.0.0/0']",
        },
    ),
    "AWS::EC2::SecurityGroupIngress": _rule("ingress", "SourceSecurityGroupId", "SourcePrefixListId"),
    "AWS::EC2::SecurityGroupEgress": _rule("egress", "DestinationSecurityGroupId", "DestinationPrefixListId"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Kind(
        create=every("elbv2.create_load_balancer", without="Tags"),
        id="answer.LoadBalancers[0].LoadBalancerArn",
        read=call("elbv2.describe_load_balancers", LoadBalancerArns=["$id"]),
        found="LoadBalancers[0]",
        delete=call("elbv2.delete_load_balancer", LoadBalancerArn="$id"),
        name="Name:32",
        then=(
            call(
                "elbv2.modify_load_balancer_attributes",
                LoadBalancerArn="$id",
                Attributes="$LoadBalancerAttributes",
            ),
        ),
        change=(
            call("elbv2.set_subnets", LoadBalancerArn="$id", Subnets="$Subnets"),
            call("elbv2.set_security_groups", LoadBalancerArn="$id", SecurityGroups="$SecurityGroups"),
        ),
        replace="Name Type Scheme",
        attributes={
            "DNSName": "found.DNSName",
            "CanonicalHostedZoneID": "found.CanonicalHostedZoneId",
            "LoadBalancerFullName": "found.LoadBalancerArn ~ loadbalancer/(.+)",
        },
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Kind(
        create=every("elbv2.create_target_group", Name="$name", without="Tags"),
        id="answer.TargetGroups[0].TargetGroupArn",
        read=call("elbv2.describe_target_groups", TargetGroupArns=["$id"]),
        found="TargetGroups[0]",
        delete=call("elbv2.delete_target_group", TargetGroupArn="$id"),
        name="Name:32",
        then=(
            call(
                "elbv2.modify_target_group_attributes",
                TargetGroupArn="$id",
                Attributes="$TargetGroupAttributes",
            ),
        ),
        change=(every("elbv2.modify_target_group", TargetGroupArn="$id"),),
        replace="Name VpcId TargetType Protocol Port",
        attributes={"TargetGroupFullName": "found.TargetGroupArn ~ (targetgroup/.+)"},
    ),
    "AWS::ElasticLoadBalancingV2::Listener": Kind(
        create=every("elbv2.create_listener"),
        id="answer.Listeners[0].ListenerArn",
        read=call("elbv2.describe_listeners", ListenerArns=["$id"]),
        found="Listeners[0]",
        delete=call("elbv2.delete_listener", ListenerArn="$id"),
        change=(every("elbv2.modify_listener", ListenerArn="$id", without="LoadBalancerArn"),),
        replace="LoadBalancerArn",
    ),
    "AWS::ElasticLoadBalancingV2::ListenerRule": Kind(
        create=every("elbv2.create_rule"),
        id="answer.Rules[0].RuleArn",
        read=call("elbv2.describe_rules", RuleArns=["$id"]),
        found="Rules[0]",
        delete=call("elbv2.delete_rule", RuleArn="$id"),
        change=(
            every("elbv2.modify_rule", RuleArn="$id"),
            call("elbv2.set_rule_priorities", RulePriorities=[{"RuleArn": "$id", "Priority": "$Priority"}]),
        ),
        replace="ListenerArn",
    ),
    "AWS::WAFv2::WebACLAssociation": Kind(
        create=every("wafv2.associate_web_acl"),
        id="join('|', [WebACLArn, ResourceArn])",
        read=call("wafv2.get_web_acl_for_resource", ResourceArn="$ResourceArn"),
        found="WebACL",
        delete=call("wafv2.disassociate_web_acl", ResourceArn="$ResourceArn"),
        replace="WebACLArn ResourceArn",
    ),
}


def _record(action: str) -> Call:
    alias = {
        "DNSName": "$AliasTarget.DNSName",
        "HostedZoneId": "$AliasTarget.HostedZoneId",
        "EvaluateTargetHealth": "$AliasTarget.EvaluateTargetHealth || `false`",
    }
    record = {"Name": "$Name", "Type": "$Type", "AliasTarget": alias}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    return call("route53.change_resource_record_sets", HostedZoneId="$HostedZoneId", ChangeBatch=batch)


KINDS["AWS::Route53::RecordSet"] = Kind(
    create=_record("CREATE"),
    id="Name",
    read=call("route53.list_resource_record_sets", HostedZoneId="$HostedZoneId"),
    found="ResourceRecordSets[?Name=='%(Name)s.' && Type=='%(Type)s'] | [0]",
    delete=_record("DELETE"),
    change=(_record("UPSERT"),),
    replace="HostedZoneId Name Type",
)
