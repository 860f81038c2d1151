"""What the services say that there is, asked without the interpreter's own table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jmespath
from botocore.exceptions import ClientError

from rehearsal.aws.services.cloudformation.clients import Clients

_EC2 = {
    "VPC": "describe_vpcs Vpcs[].VpcId",
    "InternetGateway": "describe_internet_gateways InternetGateways[].InternetGatewayId",
    "VPCGatewayAttachment": "describe_internet_gateways "
    "InternetGateways[].join('|', [InternetGatewayId, Attachments[0].VpcId || ''])",
    "Subnet": "describe_subnets Subnets[].SubnetId",
    "RouteTable": "describe_route_tables RouteTables[].RouteTableId",
    "SubnetRouteTableAssociation": "describe_route_tables "
    "RouteTables[].Associations[].RouteTableAssociationId",
    "EIP": "describe_addresses Addresses[].PublicIp",
    "NatGateway": "describe_nat_gateways NatGateways[?State=='available'].NatGatewayId",
    "VPCEndpoint": "describe_vpc_endpoints VpcEndpoints[?State=='available'].VpcEndpointId",
    "FlowLog": "describe_flow_logs FlowLogs[].FlowLogId",
    "SecurityGroup": "describe_security_groups SecurityGroups[].GroupId",
    "SecurityGroupIngress": "describe_security_group_rules "
    "SecurityGroupRules[?!IsEgress].SecurityGroupRuleId",
    "SecurityGroupEgress": "describe_security_group_rules SecurityGroupRules[?IsEgress].SecurityGroupRuleId",
    "Instance": "describe_instances Reservations[].Instances[?State.Name=='running'][].InstanceId",
}
_LISTED = {
    **{f"AWS::EC2::{kind}": f"ec2.{call}" for kind, call in _EC2.items()},
    "AWS::AutoScaling::AutoScalingGroup": "autoscaling.describe_auto_scaling_groups "
    "AutoScalingGroups[].AutoScalingGroupName",
    "AWS::AutoScaling::ScalingPolicy": "autoscaling.describe_policies ScalingPolicies[].PolicyARN",
    "AWS::CloudWatch::Alarm": "cloudwatch.describe_alarms MetricAlarms[].AlarmName",
    "AWS::CloudWatch::Dashboard": "cloudwatch.list_dashboards DashboardEntries[].DashboardName",
    "AWS::ECS::Cluster": "ecs.list_clusters clusterArns[]",
    "AWS::ECS::TaskDefinition": "ecs.list_task_definitions taskDefinitionArns[]",
    "AWS::EFS::FileSystem": "efs.describe_file_systems FileSystems[].FileSystemId",
    "AWS::ElastiCache::ReplicationGroup": "elasticache.describe_replication_groups "
    "ReplicationGroups[].ReplicationGroupId",
    "AWS::ElastiCache::SubnetGroup": "elasticache.describe_cache_subnet_groups "
    "CacheSubnetGroups[].CacheSubnetGroupName",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "elbv2.describe_load_balancers "
    "LoadBalancers[].LoadBalancerArn",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "elbv2.describe_target_groups TargetGroups[].TargetGroupArn",
    "AWS::IAM::InstanceProfile": "iam.list_instance_profiles InstanceProfiles[].InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "iam.list_policies Policies[].Arn",
    "AWS::IAM::Role": "iam.list_roles Roles[].RoleName",
    "AWS::KMS::Alias": "kms.list_aliases Aliases[].AliasName",
    "AWS::KMS::Key": "kms.list_keys Keys[].KeyId",
    "AWS::Logs::LogGroup": "logs.describe_log_groups logGroups[].logGroupName",
    "AWS::RDS::DBInstance": "rds.describe_db_instances DBInstances[].DBInstanceIdentifier",
    "AWS::RDS::DBParameterGroup": "rds.describe_db_parameter_groups DBParameterGroups[].DBParameterGroupName",
    "AWS::RDS::DBSubnetGroup": "rds.describe_db_subnet_groups DBSubnetGroups[].DBSubnetGroupName",
    "AWS::S3::Bucket": "s3.list_buckets Buckets[].Name",
    "AWS::SNS::Topic": "sns.list_topics Topics[].TopicArn",
    "AWS::SNS::Subscription": "sns.list_subscriptions Subscriptions[].SubscriptionArn",
    "AWS::SQS::Queue": "sqs.list_queues QueueUrls[]",
    "AWS::SSM::Document": "ssm.list_documents DocumentIdentifiers[].Name",
}
STAND_INS = {"AWS::ElastiCache::ParameterGroup"}
"""Types that the local AWS has no place for; the interpreter's README names them."""


class Inventory:
    """Asks each service once for all that it has."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self._found: dict[str, set[str]] = {}

    def has(self, kind: str, physical: str, properties: dict[str, Any]) -> bool:
        """Whether the service has a resource of this type and id."""
        if kind == "AWS::ECS::Cluster":
            return any(arn.endswith(f"/{physical}") for arn in self.all(kind))
        return (
            bool(self._single[kind](properties, physical))
            if kind in self._single
            else physical in self.all(kind)
        )

    def all(self, kind: str) -> set[str]:
        """Every id of this type."""
        if kind not in self._found:
            operation, _, path = _LISTED[kind].partition(" ")
            service, method = operation.split(".")
            client = self.clients(service)
            pages = (
                client.get_paginator(method).paginate()
                if client.can_paginate(method)
                else [getattr(client, method)()]
            )
            self._found[kind] = {name for page in pages for name in jmespath.search(path, page) or []}
        return self._found[kind]

    @property
    def _single(self) -> dict[str, Callable[[dict[str, Any], str], Any]]:
        """Types that are asked for one by one, by their properties."""
        client = self.clients
        return {
            "AWS::EC2::Route": lambda p, _: jmespath.search(
                f"RouteTables[0].Routes[?DestinationCidrBlock=='{p['DestinationCidrBlock']}']",
                client("ec2").describe_route_tables(RouteTableIds=[p["RouteTableId"]]),
            ),
            # By id: moto lists the first fifteen and has no next page.
            "AWS::EC2::LaunchTemplate": lambda _, one: jmespath.search(
                "LaunchTemplates", client("ec2").describe_launch_templates(LaunchTemplateIds=[one])
            ),
            "AWS::EFS::MountTarget": lambda p, one: jmespath.search(
                f"MountTargets[?MountTargetId=='{one}']",
                client("efs").describe_mount_targets(FileSystemId=p["FileSystemId"]),
            ),
            "AWS::ElasticLoadBalancingV2::Listener": lambda p, one: jmespath.search(
                f"Listeners[?ListenerArn=='{one}']",
                client("elbv2").describe_listeners(LoadBalancerArn=p["LoadBalancerArn"]),
            ),
            "AWS::ElasticLoadBalancingV2::ListenerRule": lambda p, one: jmespath.search(
                f"Rules[?RuleArn=='{one}']", client("elbv2").describe_rules(ListenerArn=p["ListenerArn"])
            ),
            "AWS::IAM::RolePolicy": lambda p, _: (
                p["PolicyName"] in client("iam").list_role_policies(RoleName=p["RoleName"])["PolicyNames"]
            ),
            "AWS::Route53::RecordSet": lambda p, _: jmespath.search(
                f"ResourceRecordSets[?Name=='{p['Name']}.' && Type=='{p['Type']}']",
                client("route53").list_resource_record_sets(HostedZoneId=p["HostedZoneId"]),
            ),
            "AWS::S3::BucketPolicy": lambda p, _: _policy(client, p["Bucket"]) == p["PolicyDocument"],
            "AWS::SNS::TopicPolicy": lambda p, _: (
                json.loads(
                    client("sns").get_topic_attributes(TopicArn=p["Topics"][0])["Attributes"]["Policy"]
                )
                == p["PolicyDocument"]
            ),
            "AWS::SQS::QueuePolicy": lambda p, _: all(
                json.loads(_queue(client, queue)["Policy"]) == p["PolicyDocument"] for queue in p["Queues"]
            ),
            "AWS::WAFv2::WebACLAssociation": lambda p, _: (
                client("wafv2").get_web_acl_for_resource(ResourceArn=p["ResourceArn"])["WebACL"]["ARN"]
                == p["WebACLArn"]
            ),
        }


def _policy(client: Clients, bucket: str) -> Any:  # noqa: ANN401 - a document
    try:
        return json.loads(client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError:
        return None


def _queue(client: Clients, url: str) -> dict[str, str]:
    found: dict[str, str] = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    return found
