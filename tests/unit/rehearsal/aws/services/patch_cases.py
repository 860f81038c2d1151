"""What fails with moto alone: a case for each patch, which says whether the service answers as AWS does."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

Clients = Callable[[str], Any]
GROUP = "group"
ZONE = "us-east-1a"


def expect(condition: object) -> None:
    """Say that the service did not do what AWS does."""
    if not condition:
        raise AssertionError("the answer is not AWS's")


def refused(what: str, call: Callable[..., object], **given: str) -> bool:
    """Whether the service refuses the call with a message about `what`."""
    try:
        call(**given)
    except ClientError as error:
        return what in str(error)
    return False


def image(clients: Clients, **options: Any) -> str:  # noqa: ANN401 - a request's data
    ec2 = clients("ec2")
    instance = ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    return str(ec2.create_image(InstanceId=instance, Name="image", **options)["ImageId"])


def group(clients: Clients, **options: Any) -> None:  # noqa: ANN401 - a request's data
    template = {"ImageId": "ami-1", "InstanceType": "t3.micro"}
    clients("ec2").create_launch_template(LaunchTemplateName="template", LaunchTemplateData=template)
    launched = {"LaunchTemplate": {"LaunchTemplateName": "template", "Version": "1"}}
    sizes = {"MinSize": 0, "MaxSize": 4, "AvailabilityZones": [ZONE]}
    source = {} if "MixedInstancesPolicy" in options else launched
    clients("autoscaling").create_auto_scaling_group(AutoScalingGroupName=GROUP, **(sizes | source | options))


def bucket(clients: Clients) -> str:
    """Create a bucket and return its name. All tests of a process share moto's names of buckets."""
    name = f"bucket-{secrets.token_hex(8)}"
    clients("s3").create_bucket(Bucket=name)
    return name


def image_description(clients: Clients) -> None:
    ec2, image_id = clients("ec2"), image(clients)
    ec2.modify_image_attribute(ImageId=image_id, Description={"Value": "new"})
    expect(ec2.describe_images(ImageIds=[image_id])["Images"][0].get("Description") == "new")


def image_deprecation(clients: Clients) -> None:
    image_id = image(clients)
    clients("ec2").enable_image_deprecation(ImageId=image_id, DeprecateAt="2027-01-01T00:00:00Z")


def end_of_image_deprecation(clients: Clients) -> None:
    clients("ec2").disable_image_deprecation(ImageId=image(clients))


def snapshot_tags(clients: Clients) -> None:
    tags = {"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}
    image_id = image(clients, TagSpecifications=[tags])
    described = clients("ec2").describe_images(ImageIds=[image_id])["Images"][0]
    snapshot = described["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    (found,) = clients("ec2").describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    expect(found.get("Tags") == tags["Tags"])


def flow_logs_in_a_folder(clients: Clients) -> None:
    name = bucket(clients)
    vpc = clients("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = clients("ec2").create_flow_logs(
        ResourceIds=[vpc],
        ResourceType="VPC",
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{name}/vpc/",
    )
    expect(not made["Unsuccessful"])
    (found,) = clients("ec2").describe_flow_logs()["FlowLogs"]
    expect(found["LogDestination"] == f"arn:aws:s3:::{name}/vpc/")


def hooks_of_a_new_group(clients: Clients) -> None:
    hook = {"LifecycleHookName": "h", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    group(clients, LifecycleHookSpecificationList=[hook])
    found = clients("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
    expect([each["LifecycleHookName"] for each in found] == ["h"])


def arn_of_a_policy(clients: Clients) -> None:
    group(clients)
    answer = clients("autoscaling").put_scaling_policy(
        AutoScalingGroupName=GROUP, PolicyName="p", AdjustmentType="ChangeInCapacity", ScalingAdjustment=1
    )
    expect("PolicyARN" in answer)


def put_hook(clients: Clients, timeout: int) -> None:
    clients("autoscaling").put_lifecycle_hook(
        AutoScalingGroupName=GROUP,
        LifecycleHookName="h",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=timeout,
    )


def heartbeat_timeout(clients: Clients) -> None:
    group(clients)
    put_hook(clients, 60)
    (found,) = clients("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
    expect(found["GlobalTimeout"] == 6000)
    with pytest.raises(ClientError, match="between 30 and 7200"):
        put_hook(clients, 29)


def mixed_instances_policy(clients: Clients) -> None:
    specification = {"LaunchTemplateName": "template", "Version": "1"}
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": specification, "Overrides": []}}
    group(clients, MixedInstancesPolicy=policy)
    clients("autoscaling").update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=3)
    (found,) = clients("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    expect("MixedInstancesPolicy" in found)


def targets_of_a_group(clients: Clients) -> None:
    vpc = clients("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    made = clients("elbv2").create_target_group(Name="t", Protocol="HTTP", Port=80, VpcId=vpc)
    arn = made["TargetGroups"][0]["TargetGroupArn"]
    group(clients, DesiredCapacity=2, TargetGroupARNs=[arn])
    clients("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    clients("autoscaling").attach_load_balancer_target_groups(AutoScalingGroupName=GROUP, TargetGroupARNs=[])
    expect(len(clients("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]) == 1)


def deletion_of_a_cache_subnet_group(clients: Clients) -> None:
    subnet = clients("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    elasticache = clients("elasticache")
    elasticache.create_cache_subnet_group(
        CacheSubnetGroupName="s", CacheSubnetGroupDescription="s", SubnetIds=[subnet]
    )
    elasticache.delete_cache_subnet_group(CacheSubnetGroupName="s")
    expect(elasticache.describe_cache_subnet_groups()["CacheSubnetGroups"] == [])


def token_of_a_replication_group(clients: Clients) -> None:
    options = {"ReplicationGroupDescription": "r", "Engine": "redis", "TransitEncryptionEnabled": True}
    create = partial(clients("elasticache").create_replication_group, **options)
    create(ReplicationGroupId="r", AuthToken="letters-digits-2")
    for token in ("under_score_is_refused", "fifteen-letters", "a" * 129):
        expect(refused("AuthToken", create, ReplicationGroupId="s", AuthToken=token))


BAD_PASSWORDS = ("short12", "a" * 129, "with@sign", "with/slash", 'with"quote', "with blank")
INSTANCE = {"DBInstanceIdentifier": "d", "DBInstanceClass": "db.t4g.small", "Engine": "postgres"}


def password_of_a_new_database(clients: Clients) -> None:
    create = partial(
        clients("rds").create_db_instance, **INSTANCE, AllocatedStorage=20, MasterUsername="master"
    )
    for password in BAD_PASSWORDS:
        expect(refused("MasterUserPassword", create, MasterUserPassword=password))
    create(MasterUserPassword="letters2")


def password_of_a_database(clients: Clients) -> None:
    rds = clients("rds")
    rds.create_db_instance(
        **INSTANCE, AllocatedStorage=20, MasterUsername="master", MasterUserPassword="letters2"
    )
    change = partial(rds.modify_db_instance, DBInstanceIdentifier="d")
    for password in BAD_PASSWORDS:
        expect(refused("MasterUserPassword", change, MasterUserPassword=password))


def id_of_a_hosted_zone(clients: Clients) -> None:
    create = clients("route53").create_hosted_zone
    for number in range(8):
        made = create(Name=f"{secrets.token_hex(8)}.example", CallerReference=str(number))
        expect(made["HostedZone"]["Id"].startswith("/hostedzone/Z"))


REFUSE = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}


def load_balancer(clients: Clients) -> str:
    subnets = [each["SubnetId"] for each in clients("ec2").describe_subnets()["Subnets"][:2]]
    made = clients("elbv2").create_load_balancer(Name="b", Subnets=subnets)
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def paths_by_regular_expression(clients: Clients) -> None:
    elbv2 = clients("elbv2")
    listener = elbv2.create_listener(
        LoadBalancerArn=load_balancer(clients), Protocol="HTTP", Port=80, DefaultActions=[REFUSE]
    )["Listeners"][0]["ListenerArn"]

    def rule(expression: str) -> None:
        condition = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": [expression]}}
        elbv2.create_rule(ListenerArn=listener, Priority=1, Conditions=[condition], Actions=[REFUSE])

    rule("^/" + "x" * 126)
    expect(refused("too long", rule, expression="^/" + "x" * 127))


def security_policy_of_a_listener(clients: Clients) -> None:
    given = {"LoadBalancerArn": load_balancer(clients), "Protocol": "HTTPS", "DefaultActions": [REFUSE]}
    create = partial(clients("elbv2").create_listener, **given)
    create(Port=443, SslPolicy="ELBSecurityPolicy-TLS13-1-3-2021-06")
    expect(refused("SSLPolicyNotFound", partial(create, Port=444), SslPolicy="ELBSecurityPolicy-TLS13"))


def values_of_attributes(clients: Clients) -> None:
    arn = load_balancer(clients)

    def write(key: str, value: str) -> None:
        attribute = {"Key": key, "Value": value}
        clients("elbv2").modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[attribute])

    for key, good, bad in (
        ("routing.http.xff_header_processing.mode", "append", "replace"),
        ("routing.http.xff_client_port.enabled", "false", "no"),
        ("routing.http.desync_mitigation_mode", "strictest", "strict"),
        ("idle_timeout.timeout_seconds", "4000", "4001"),
    ):
        write(key, good)
        expect(refused(key, write, key=key, value=bad))


def access_logs(clients: Clients) -> None:
    source, target = bucket(clients), bucket(clients)
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    everybody = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{target}/*"}
    delivery = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/logs/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [everybody | {"Condition": insecure}, delivery]}
    clients("s3").put_bucket_policy(Bucket=target, Policy=json.dumps(policy))
    wanted = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "logs/"}}
    clients("s3").put_bucket_logging(Bucket=source, BucketLoggingStatus=wanted)


def conditions_of_a_policy(clients: Clients) -> None:
    s3, name = clients("s3"), bucket(clients)
    everything = {"Action": "s3:*", "Resource": f"arn:aws:s3:::{name}/*"}
    in_clear = {"Bool": {"aws:SecureTransport": "false"}}
    statements = [
        everything | {"Effect": "Deny", "Principal": "*", "Condition": in_clear},
        everything | {"Effect": "Allow", "Principal": {"Service": "delivery.logs.amazonaws.com"}},
        everything | {"Effect": "Deny", "Principal": {"Service": "logging.s3.amazonaws.com"}},
        everything
        | {"Effect": "Deny", "Principal": "*", "Resource": f"arn:aws:s3:::{name}/closed/*"}
        | {"Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}},
    ]
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    s3.put_object(Bucket=name, Key="open/a", Body=b"a")
    expect(s3.get_object(Bucket=name, Key="open/a")["Body"].read() == b"a")
    expect(refused("403", s3.put_object, Bucket=name, Key="closed/a"))


def logs_that_come_later(clients: Clients) -> None:
    source, target = bucket(clients), bucket(clients)
    delivery = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [delivery]}
    clients("s3").put_bucket_policy(Bucket=target, Policy=json.dumps(policy))
    wanted = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": ""}}
    clients("s3").put_bucket_logging(Bucket=source, BucketLoggingStatus=wanted)
    clients("s3").put_object(Bucket=source, Key="a", Body=b"a")
    clients("s3").delete_bucket(Bucket=target)


def protected_load_balancer(clients: Clients) -> None:
    elbv2 = clients("elbv2")
    arn = load_balancer(clients)

    def protect(value: str) -> None:
        attribute = {"Key": "deletion_protection.enabled", "Value": value}
        elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[attribute])

    protect("true")
    try:
        elbv2.delete_load_balancer(LoadBalancerArn=arn)
    except ClientError as error:
        expect(error.response["Error"]["Code"] == "OperationNotPermitted")
    expect(len(elbv2.describe_load_balancers()["LoadBalancers"]) == 1)
    protect("false")
    elbv2.delete_load_balancer(LoadBalancerArn=arn)
    expect(elbv2.describe_load_balancers()["LoadBalancers"] == [])


def lending_of_roles(clients: Clients) -> None:
    sts, account = clients("sts"), "123456789012"

    def lent(role: str) -> bool:
        try:
            sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName="session")
        except ClientError as error:
            expect(error.response["Error"]["Code"] == "AccessDenied")
            return False
        return True

    own = secrets.token_hex(8)
    service, us = {"Service": "ec2.amazonaws.com"}, {"AWS": f"arn:aws:iam::{account}:root"}
    principals: dict[str, dict[str, str]] = {f"service-{own}": service, f"us-{own}": us}
    for role, principal in principals.items():
        trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        clients("iam").create_role(
            RoleName=role,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
    expect([lent(role) for role in (f"nobody-{own}", *principals)] == [False, False, True])


def quota_of_addresses(clients: Clients) -> None:
    allocate = clients("ec2").allocate_address
    expect(any(refused("AddressLimitExceeded", allocate, Domain="vpc") for _ in range(100)))


def quotas_of_ec2(clients: Clients) -> None:
    quotas = clients("service-quotas")
    found = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]
    expect(found["Value"] > 0)
    expect(refused("NoSuchResource", quotas.get_service_quota, ServiceCode="ec2", QuotaCode="L-0"))


CASES: dict[str, Callable[[Clients], None]] = {
    "AmisResponse.modify_image_attribute": image_description,
    "AmisResponse.enable_image_deprecation": image_deprecation,
    "AmisResponse.disable_image_deprecation": end_of_image_deprecation,
    "AmiBackend.create_image": snapshot_tags,
    "FlowLogsBackend.create_flow_logs": flow_logs_in_a_folder,
    "AutoScalingResponse.create_auto_scaling_group": hooks_of_a_new_group,
    "AutoScalingResponse.put_scaling_policy": arn_of_a_policy,
    "AutoScalingBackend.create_lifecycle_hook": heartbeat_timeout,
    "FakeAutoScalingGroup.update": mixed_instances_policy,
    "AutoScalingBackend.update_attached_target_groups": targets_of_a_group,
    "ElastiCacheResponse.delete_cache_subnet_group": deletion_of_a_cache_subnet_group,
    "ElastiCacheResponse.create_replication_group": token_of_a_replication_group,
    "RDSBackend.create_db_instance": password_of_a_new_database,
    "RDSBackend.modify_db_instance": password_of_a_database,
    "HostedZoneIdentifier.generate": id_of_a_hosted_zone,
    "ELBv2Backend._validate_path_pattern_condition": paths_by_regular_expression,
    "ELBv2Backend.create_listener": security_policy_of_a_listener,
    "ELBv2Backend.delete_load_balancer": protected_load_balancer,
    "ELBv2Backend.modify_load_balancer_attributes": values_of_attributes,
    "FakeBucket._log_permissions_enabled_policy": access_logs,
    "FakeBucket.get_permission": conditions_of_a_policy,
    "S3Backend.log_incoming_request": logs_that_come_later,
    "ElasticAddressBackend.allocate_address": quota_of_addresses,
    "ServiceQuotasBackend.get_service_quota": quotas_of_ec2,
    "TokenResponse.assume_role": lending_of_roles,
}
"""What fails with moto alone and works with the patch of that name."""
