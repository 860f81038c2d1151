"""The table of resource types, second part: launch templates, groups, containers, and what they may do."""

from __future__ import annotations

from rehearsal.cloudformation.calls import Each, Kind, call, every
from rehearsal.cloudformation.network import EC2_TAGS

_TAG = {
    "ResourceId": "$id",
    "ResourceType": "auto-scaling-group",
    "Key": "$item.Key",
    "Value": "$item.Value",
    "PropagateAtLaunch": "$item.PropagateAtLaunch",
}
_HOOK = ("LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout", "DefaultResult")

KINDS: dict[str, Kind] = {
    "AWS::EC2::LaunchTemplate": Kind(
        create=every("ec2.create_launch_template", LaunchTemplateName="$name"),
        id="answer.LaunchTemplate.LaunchTemplateId",
        read=call("ec2.describe_launch_templates", LaunchTemplateIds=["$id"]),
        found="LaunchTemplates[0]",
        delete=call("ec2.delete_launch_template", LaunchTemplateId="$id"),
        name="LaunchTemplateName:128",
        change=(
            every("ec2.create_launch_template_version", LaunchTemplateId="$id", without="LaunchTemplateName"),
        ),
        replace="LaunchTemplateName",
        attributes={
            "LaunchTemplateId": "id",
            "LatestVersionNumber": "found.LatestVersionNumber",
            "DefaultVersionNumber": "found.DefaultVersionNumber",
        },
        changing="LatestVersionNumber",
    ),
    "AWS::EC2::Instance": Kind(
        create=every(
            "ec2.run_instances",
            without="Tags",
            MinCount=1,
            MaxCount=1,
            Monitoring={"Enabled": "$Monitoring"},
            TagSpecifications=[{"ResourceType": "instance", "Tags": "$!Tags"}],
        ),
        id="answer.Instances[0].InstanceId",
        read=call("ec2.describe_instances", InstanceIds=["$id"]),
        found="Reservations[].Instances[] | [?State.Name!='terminated'] | [0]",
        delete=call("ec2.terminate_instances", InstanceIds=["$id"]),
        then=(Each("Tags", EC2_TAGS.add, EC2_TAGS.remove, initial=False),),
        replace="LaunchTemplate SubnetId ImageId",
        ready="State.Name == 'running'",
        attributes={"PrivateIp": "found.PrivateIpAddress"},
    ),
    "AWS::AutoScaling::AutoScalingGroup": Kind(
        create=every("autoscaling.create_auto_scaling_group", AutoScalingGroupName="$name"),
        read=call("autoscaling.describe_auto_scaling_groups", AutoScalingGroupNames=["$id"]),
        found="AutoScalingGroups[0]",
        delete=call("autoscaling.delete_auto_scaling_group", AutoScalingGroupName="$id", ForceDelete=True),
        name="AutoScalingGroupName:255",
        then=(
            call(
                "autoscaling.enable_metrics_collection",
                AutoScalingGroupName="$id",
                Granularity="$MetricsCollection[0].Granularity",
                Metrics="$MetricsCollection[0].Metrics",
            ),
            Each(
                "TargetGroupARNs",
                call(
                    "autoscaling.attach_load_balancer_target_groups",
                    AutoScalingGroupName="$id",
                    TargetGroupARNs=["$item"],
                ),
                call(
                    "autoscaling.detach_load_balancer_target_groups",
                    AutoScalingGroupName="$id",
                    TargetGroupARNs=["$item"],
                ),
                initial=False,
            ),
            Each(
                "LifecycleHookSpecificationList",
                call(
                    "autoscaling.put_lifecycle_hook",
                    AutoScalingGroupName="$id",
                    **{n: f"$item.{n}" for n in _HOOK},
                ),
                call(
                    "autoscaling.delete_lifecycle_hook",
                    AutoScalingGroupName="$id",
                    LifecycleHookName="$item.LifecycleHookName",
                ),
                initial=False,
            ),
            Each(
                "Tags",
                call("autoscaling.create_or_update_tags", Tags=[_TAG]),
                call("autoscaling.delete_tags", Tags=[_TAG]),
                initial=False,
            ),
        ),
        change=(every("autoscaling.update_auto_scaling_group", AutoScalingGroupName="$id"),),
        partly=True,
        replace="AutoScalingGroupName",
    ),
    "AWS::AutoScaling::ScalingPolicy": Kind(
        create=every("autoscaling.put_scaling_policy", PolicyName="$name"),
        id="answer.PolicyARN",
        read=call("autoscaling.describe_policies", AutoScalingGroupName="$AutoScalingGroupName"),
        found="ScalingPolicies[?PolicyARN=='%(id)s'] | [0]",
        delete=call(
            "autoscaling.delete_policy", PolicyName="$id", AutoScalingGroupName="$AutoScalingGroupName"
        ),
        name="PolicyName:255",
        change=(every("autoscaling.put_scaling_policy", PolicyName="$name"),),
        replace="AutoScalingGroupName",
    ),
    "AWS::ECS::Cluster": Kind(
        create=every("ecs.create_cluster", {"ClusterSettings": "settings"}, clusterName="$name"),
        read=call("ecs.describe_clusters", clusters=["$id"]),
        found="clusters[?status!='INACTIVE'] | [0]",
        delete=call("ecs.delete_cluster", cluster="$id"),
        name="ClusterName:255",
        change=(
            call("ecs.update_cluster", cluster="$id", settings="$ClusterSettings"),
            call(
                "ecs.put_cluster_capacity_providers",
                cluster="$id",
                capacityProviders="$CapacityProviders",
                defaultCapacityProviderStrategy=[],
            ),
        ),
        replace="ClusterName",
        attributes={"Arn": "found.clusterArn"},
    ),
    "AWS::ECS::TaskDefinition": Kind(
        create=every("ecs.register_task_definition"),
        id="answer.taskDefinition.taskDefinitionArn",
        read=call("ecs.describe_task_definition", taskDefinition="$id"),
        found="[taskDefinition][?status!='INACTIVE'] | [0]",
        delete=call("ecs.deregister_task_definition", taskDefinition="$id"),
        replace="Family RequiresCompatibilities NetworkMode RuntimePlatform Cpu Memory ExecutionRoleArn "
        "TaskRoleArn Volumes ContainerDefinitions",
    ),
    "AWS::IAM::Role": Kind(
        create=every("iam.create_role", RoleName="$name"),
        read=call("iam.get_role", RoleName="$id"),
        found="Role",
        delete=call("iam.delete_role", RoleName="$id"),
        name="RoleName:64",
        then=(
            Each(
                "ManagedPolicyArns",
                call("iam.attach_role_policy", RoleName="$id", PolicyArn="$item"),
                call("iam.detach_role_policy", RoleName="$id", PolicyArn="$item"),
                before_deletion=True,
            ),
            Each(
                "Policies",
                call(
                    "iam.put_role_policy",
                    RoleName="$id",
                    PolicyName="$item.PolicyName",
                    PolicyDocument="$item.PolicyDocument",
                ),
                call("iam.delete_role_policy", RoleName="$id", PolicyName="$item.PolicyName"),
                before_deletion=True,
            ),
        ),
        change=(
            call("iam.update_assume_role_policy", RoleName="$id", PolicyDocument="$AssumeRolePolicyDocument"),
            call(
                "iam.put_role_permissions_boundary",
                RoleName="$id",
                PermissionsBoundary="$PermissionsBoundary",
            ),
        ),
        unset={"PermissionsBoundary": call("iam.delete_role_permissions_boundary", RoleName="$id")},
        replace="RoleName Path",
        attributes={"Arn": "found.Arn", "RoleId": "found.RoleId"},
    ),
    "AWS::IAM::RolePolicy": Kind(
        create=every("iam.put_role_policy"),
        id="join('|', [PolicyName, RoleName])",
        read=call("iam.get_role_policy", RoleName="$RoleName", PolicyName="$PolicyName"),
        delete=call("iam.delete_role_policy", RoleName="$RoleName", PolicyName="$PolicyName"),
        change=(every("iam.put_role_policy"),),
        replace="RoleName PolicyName",
    ),
    "AWS::IAM::ManagedPolicy": Kind(
        create=every("iam.create_policy", PolicyName="$name"),
        id="answer.Policy.Arn",
        read=call("iam.get_policy", PolicyArn="$id"),
        found="Policy",
        delete=call("iam.delete_policy", PolicyArn="$id"),
        name="ManagedPolicyName:128",
        change=(
            call(
                "iam.create_policy_version",
                PolicyArn="$id",
                PolicyDocument="$PolicyDocument",
                SetAsDefault=True,
            ),
            # IAM keeps five versions; the one that has just been the default makes room.
            call(
                "iam.delete_policy_version",
                when="PolicyDocument",
                PolicyArn="$id",
                VersionId="$attributes.DefaultVersionId",
            ),
        ),
        replace="ManagedPolicyName Description Path",
        attributes={"PolicyArn": "id", "DefaultVersionId": "found.DefaultVersionId"},
    ),
    "AWS::IAM::InstanceProfile": Kind(
        create=call("iam.create_instance_profile", InstanceProfileName="$name"),
        read=call("iam.get_instance_profile", InstanceProfileName="$id"),
        found="InstanceProfile",
        delete=call("iam.delete_instance_profile", InstanceProfileName="$id"),
        name="InstanceProfileName:128",
        then=(
            Each(
                "Roles",
                call("iam.add_role_to_instance_profile", InstanceProfileName="$id", RoleName="$item"),
                call("iam.remove_role_from_instance_profile", InstanceProfileName="$id", RoleName="$item"),
                before_deletion=True,
            ),
        ),
        replace="InstanceProfileName Path",
        attributes={"Arn": "found.Arn"},
    ),
}
