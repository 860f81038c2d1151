"""The table of resource types, third part: keys, data, queues, logs, alarms and documents."""

from __future__ import annotations

from rehearsal.cloudformation import machines, network
from rehearsal.cloudformation.calls import Call, Each, Kind, call, every

_DATABASE_NAMES = {"VPCSecurityGroups": "VpcSecurityGroupIds"}
_PARAMETER = {"ParameterName": "$item.Key", "ApplyMethod": "immediate"}
_LIFECYCLE = """$LifecycleConfiguration.Rules[].{
    ID: Id, Status: Status, Filter: {Prefix: Prefix || ''}, Expiration: {Days: ExpirationInDays},
    NoncurrentVersionExpiration: NoncurrentVersionExpiration,
    AbortIncompleteMultipartUpload: AbortIncompleteMultipartUpload}"""
_QUEUE = (
    "KmsMasterKeyId",
    "MessageRetentionPeriod",
    "VisibilityTimeout",
    "RedrivePolicy",
)


def _bucket(operation: str, **arguments: object) -> Call:
    return call(f"s3.{operation}", Bucket="$id", **arguments)


KINDS: dict[str, Kind] = {
    **network.KINDS,
    **machines.KINDS,
    "AWS::KMS::Key": Kind(
        create=every("kms.create_key", {"KeyPolicy": "Policy"}),
        id="answer.KeyMetadata.KeyId",
        read=call("kms.describe_key", KeyId="$id"),
        found="[KeyMetadata][?!DeletionDate] | [0]",
        delete=call("kms.schedule_key_deletion", KeyId="$id", PendingWindowInDays="$PendingWindowInDays"),
        then=(
            call("kms.enable_key_rotation", when="EnableKeyRotation", KeyId="$id"),
            call("kms.disable_key_rotation", when="!EnableKeyRotation", KeyId="$id"),
        ),
        change=(
            call("kms.put_key_policy", KeyId="$id", PolicyName="default", Policy="$KeyPolicy"),
            call("kms.update_key_description", KeyId="$id", Description="$Description"),
        ),
        attributes={"Arn": "found.Arn", "KeyId": "id"},
        recorded="PendingWindowInDays",
    ),
    "AWS::KMS::Alias": Kind(
        create=every("kms.create_alias"),
        id="AliasName",
        read=call("kms.list_aliases"),
        found="Aliases[?AliasName=='%(id)s'] | [0]",
        delete=call("kms.delete_alias", AliasName="$id"),
        change=(every("kms.update_alias"),),
        replace="AliasName",
    ),
    "AWS::S3::Bucket": Kind(
        create=call(
            "s3.create_bucket",
            Bucket="$name",
            CreateBucketConfiguration={"LocationConstraint": "$!elsewhere"},
        ),
        read=call("s3.head_bucket", Bucket="$id"),
        delete=call("s3.delete_bucket", Bucket="$id"),
        name="BucketName:63",
        then=(
            Call(
                "s3.put_bucket_encryption",
                {
                    "Bucket": "$id",
                    "ServerSideEncryptionConfiguration": {
                        "Rules": "$BucketEncryption.ServerSideEncryptionConfiguration"
                    },
                },
                renamed={"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"},
            ),
            _bucket("put_bucket_versioning", VersioningConfiguration="$VersioningConfiguration"),
            _bucket("put_bucket_ownership_controls", OwnershipControls="$OwnershipControls"),
            _bucket(
                "put_public_access_block", PublicAccessBlockConfiguration="$PublicAccessBlockConfiguration"
            ),
            _bucket(
                "put_bucket_logging",
                BucketLoggingStatus={
                    "LoggingEnabled": {
                        "TargetBucket": "$!LoggingConfiguration.DestinationBucketName",
                        "TargetPrefix": "$LoggingConfiguration.LogFilePrefix",
                    }
                },
            ),
            _bucket("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": _LIFECYCLE}),
        ),
        replace="BucketName",
        attributes={"Arn": "join('', ['arn:aws:s3:::', id])"},
    ),
    "AWS::S3::BucketPolicy": Kind(
        create=call("s3.put_bucket_policy", Bucket="$Bucket", Policy="$PolicyDocument"),
        id="Bucket",
        read=call("s3.get_bucket_policy", Bucket="$Bucket"),
        delete=call("s3.delete_bucket_policy", Bucket="$Bucket"),
        change=(call("s3.put_bucket_policy", Bucket="$Bucket", Policy="$PolicyDocument"),),
        replace="Bucket",
    ),
    "AWS::RDS::DBSubnetGroup": Kind(
        create=every("rds.create_db_subnet_group", DBSubnetGroupName="$name"),
        read=call("rds.describe_db_subnet_groups", DBSubnetGroupName="$id"),
        found="DBSubnetGroups[0]",
        delete=call("rds.delete_db_subnet_group", DBSubnetGroupName="$id"),
        name="DBSubnetGroupName:255",
        change=(every("rds.modify_db_subnet_group", DBSubnetGroupName="$id", SubnetIds="$SubnetIds"),),
        replace="DBSubnetGroupName",
    ),
    "AWS::RDS::DBParameterGroup": Kind(
        create=every(
            "rds.create_db_parameter_group",
            {"Family": "DBParameterGroupFamily"},
            DBParameterGroupName="$name",
            without="Parameters",
        ),
        read=call("rds.describe_db_parameter_groups", DBParameterGroupName="$id"),
        found="DBParameterGroups[0]",
        delete=call("rds.delete_db_parameter_group", DBParameterGroupName="$id"),
        name="DBParameterGroupName:255",
        then=(
            Each(
                "Parameters",
                call(
                    "rds.modify_db_parameter_group",
                    DBParameterGroupName="$id",
                    Parameters=[_PARAMETER | {"ParameterValue": "$item.Value"}],
                ),
                None,
            ),
        ),
        replace="DBParameterGroupName Family Description",
    ),
    "AWS::RDS::DBInstance": Kind(
        create=every("rds.create_db_instance", _DATABASE_NAMES, DBInstanceIdentifier="$name"),
        read=call("rds.describe_db_instances", DBInstanceIdentifier="$id"),
        found="DBInstances[0]",
        delete=call("rds.delete_db_instance", DBInstanceIdentifier="$id", SkipFinalSnapshot=True),
        snapshot=call(
            "rds.delete_db_instance",
            DBInstanceIdentifier="$id",
            SkipFinalSnapshot=False,
            FinalDBSnapshotIdentifier="$snapshot",
        ),
        name="DBInstanceIdentifier:63",
        change=(
            every(
                "rds.modify_db_instance", _DATABASE_NAMES, DBInstanceIdentifier="$id", ApplyImmediately=True
            ),
        ),
        partly=True,
        replace="DBInstanceIdentifier DBName Engine MasterUsername StorageEncrypted KmsKeyId "
        "DBSubnetGroupName PubliclyAccessible PerformanceInsightsKMSKeyId",
        attributes={
            "Endpoint.Address": "found.Endpoint.Address",
            "Endpoint.Port": "found.Endpoint.Port",
            "DBInstanceArn": "found.DBInstanceArn",
        },
        ready="DBInstanceStatus == 'available'",
    ),
    "AWS::EFS::FileSystem": Kind(
        create=every(
            "efs.create_file_system",
            {"FileSystemTags": "Tags"},
            without="BackupPolicy FileSystemPolicy",
            CreationToken="$name",
        ),
        id="answer.FileSystemId",
        read=call("efs.describe_file_systems", FileSystemId="$id"),
        found="FileSystems[0]",
        delete=call("efs.delete_file_system", FileSystemId="$id"),
        then=(call("efs.put_file_system_policy", FileSystemId="$id", Policy="$FileSystemPolicy"),),
        replace="Encrypted KmsKeyId",
        attributes={"Arn": "found.FileSystemArn", "FileSystemId": "id"},
        ready="LifeCycleState == 'available'",
        recorded="BackupPolicy",
    ),
    "AWS::EFS::MountTarget": Kind(
        create=every("efs.create_mount_target"),
        id="answer.MountTargetId",
        read=call("efs.describe_mount_targets", MountTargetId="$id"),
        found="MountTargets[0]",
        delete=call("efs.delete_mount_target", MountTargetId="$id"),
        change=(
            call(
                "efs.modify_mount_target_security_groups",
                MountTargetId="$id",
                SecurityGroups="$SecurityGroups",
            ),
        ),
        replace="FileSystemId SubnetId",
    ),
    "AWS::ElastiCache::ParameterGroup": Kind(create=None, name="CacheParameterGroupName:255"),
    "AWS::ElastiCache::SubnetGroup": Kind(
        create=every(
            "elasticache.create_cache_subnet_group",
            {"Description": "CacheSubnetGroupDescription"},
            CacheSubnetGroupName="$name",
        ),
        read=call("elasticache.describe_cache_subnet_groups", CacheSubnetGroupName="$id"),
        found="CacheSubnetGroups[0]",
        delete=call("elasticache.delete_cache_subnet_group", CacheSubnetGroupName="$id"),
        name="CacheSubnetGroupName:255",
        replace="CacheSubnetGroupName",
    ),
    "AWS::ElastiCache::ReplicationGroup": Kind(
        create=every("elasticache.create_replication_group"),
        id="answer.ReplicationGroup.ReplicationGroupId",
        read=call("elasticache.describe_replication_groups", ReplicationGroupId="$id"),
        found="ReplicationGroups[0]",
        delete=call("elasticache.delete_replication_group", ReplicationGroupId="$id"),
        snapshot=call(
            "elasticache.delete_replication_group",
            ReplicationGroupId="$id",
            FinalSnapshotIdentifier="$snapshot",
        ),
        change=(
            every("elasticache.modify_replication_group", ReplicationGroupId="$id", ApplyImmediately=True),
        ),
        partly=True,
        replace="ReplicationGroupId Engine CacheSubnetGroupName AtRestEncryptionEnabled KmsKeyId",
        attributes={
            "PrimaryEndPoint.Address": "found.NodeGroups[0].PrimaryEndpoint.Address",
            "PrimaryEndPoint.Port": "found.NodeGroups[0].PrimaryEndpoint.Port",
        },
        ready="Status == 'available'",
    ),
    "AWS::SQS::Queue": Kind(
        create=call(
            "sqs.create_queue",
            QueueName="$name",
            Attributes={name: f"${name}" for name in _QUEUE},
        ),
        id="answer.QueueUrl",
        read=call("sqs.get_queue_attributes", QueueUrl="$id", AttributeNames=["All"]),
        found="Attributes",
        delete=call("sqs.delete_queue", QueueUrl="$id"),
        name="QueueName:80",
        change=(
            call(
                "sqs.set_queue_attributes",
                QueueUrl="$id",
                Attributes={name: f"${name}" for name in _QUEUE},
            ),
        ),
        replace="QueueName",
        attributes={"Arn": "found.QueueArn", "QueueName": "name"},
    ),
    "AWS::SQS::QueuePolicy": Kind(
        create=call(
            "sqs.set_queue_attributes", QueueUrl="$Queues[0]", Attributes={"Policy": "$PolicyDocument"}
        ),
        read=call("sqs.get_queue_attributes", QueueUrl="$Queues[0]", AttributeNames=["Policy"]),
        found="Attributes.Policy",
        delete=call("sqs.set_queue_attributes", QueueUrl="$Queues[0]", Attributes={"Policy": ""}),
        name="Name:255",
        then=(
            Each(
                "Queues",
                call("sqs.set_queue_attributes", QueueUrl="$item", Attributes={"Policy": "$PolicyDocument"}),
                call("sqs.set_queue_attributes", QueueUrl="$item", Attributes={"Policy": ""}),
                again="PolicyDocument",
                before_deletion=True,
            ),
        ),
    ),
    "AWS::SNS::Topic": Kind(
        create=call(
            "sns.create_topic",
            Name="$name",
            Attributes={"KmsMasterKeyId": "$KmsMasterKeyId"},
        ),
        id="answer.TopicArn",
        read=call("sns.get_topic_attributes", TopicArn="$id"),
        found="Attributes",
        delete=call("sns.delete_topic", TopicArn="$id"),
        name="TopicName:256",
        change=(
            call(
                "sns.set_topic_attributes",
                TopicArn="$id",
                AttributeName="KmsMasterKeyId",
                AttributeValue="$KmsMasterKeyId",
            ),
        ),
        replace="TopicName",
        attributes={"TopicName": "name", "TopicArn": "id"},
    ),
    "AWS::SNS::TopicPolicy": Kind(
        create=call(
            "sns.set_topic_attributes",
            TopicArn="$Topics[0]",
            AttributeName="Policy",
            AttributeValue="$PolicyDocument",
        ),
        read=call("sns.get_topic_attributes", TopicArn="$Topics[0]"),
        found="Attributes.Policy",
        name="Name:255",
        change=(
            call(
                "sns.set_topic_attributes",
                TopicArn="$Topics[0]",
                AttributeName="Policy",
                AttributeValue="$PolicyDocument",
            ),
        ),
        replace="Topics",
    ),
    "AWS::SNS::Subscription": Kind(
        create=every("sns.subscribe", ReturnSubscriptionArn=True),
        id="answer.SubscriptionArn",
        read=call("sns.get_subscription_attributes", SubscriptionArn="$id"),
        found="Attributes",
        delete=call("sns.unsubscribe", SubscriptionArn="$id"),
        replace="TopicArn Protocol Endpoint",
    ),
    "AWS::Logs::LogGroup": Kind(
        create=every("logs.create_log_group"),
        id="LogGroupName",
        read=call("logs.describe_log_groups", logGroupNamePrefix="$id"),
        found="logGroups[?logGroupName=='%(id)s'] | [0]",
        delete=call("logs.delete_log_group", logGroupName="$id"),
        then=(call("logs.put_retention_policy", logGroupName="$id", retentionInDays="$RetentionInDays"),),
        replace="LogGroupName",
        attributes={"Arn": "found.arn"},
    ),
    "AWS::CloudWatch::Alarm": Kind(
        create=every("cloudwatch.put_metric_alarm", AlarmName="$name"),
        read=call("cloudwatch.describe_alarms", AlarmNames=["$id"]),
        found="MetricAlarms[0]",
        delete=call("cloudwatch.delete_alarms", AlarmNames=["$id"]),
        name="AlarmName:255",
        change=(every("cloudwatch.put_metric_alarm", AlarmName="$name"),),
        replace="AlarmName",
        attributes={"Arn": "found.AlarmArn"},
    ),
    "AWS::CloudWatch::Dashboard": Kind(
        create=every("cloudwatch.put_dashboard"),
        id="DashboardName",
        read=call("cloudwatch.get_dashboard", DashboardName="$id"),
        delete=call("cloudwatch.delete_dashboards", DashboardNames=["$id"]),
        change=(every("cloudwatch.put_dashboard"),),
        replace="DashboardName",
    ),
    "AWS::SSM::Document": Kind(
        create=every("ssm.create_document", Name="$name"),
        read=call("ssm.describe_document", Name="$id"),
        found="Document",
        delete=call("ssm.delete_document", Name="$id"),
        name="Name:128",
        change=(
            call(
                "ssm.update_document",
                Name="$id",
                Content="$Content",
                DocumentVersion="$$LATEST",
                DocumentFormat="$DocumentFormat",
                TargetType="$TargetType",
            ),
            call(
                "ssm.update_document_default_version",
                when="Content",
                Name="$id",
                DocumentVersion="$answer.DocumentDescription.DocumentVersion",
            ),
        ),
        replace="Name DocumentType",
        recorded="UpdateMethod",
    ),
}
