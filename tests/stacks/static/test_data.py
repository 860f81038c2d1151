"""The database, the file system and Redis: lost clients, encryption, backups."""

from __future__ import annotations

import pytest

from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.static.template import EVERYTHING, SAMPLES, Template


def properties(name: str, **given: str) -> Json:
    return Template("data").deployed(**given)[name]["Properties"]


def test_the_database_takes_tls_only() -> None:
    assert properties("DatabaseParameters")["Parameters"]["rds.force_ssl"] == "1"


def test_the_locks_of_a_lost_client_go_within_half_a_minute() -> None:
    found = properties("DatabaseParameters")["Parameters"]
    # Slow statements are logged without the values that they were given.
    assert (found["log_parameter_max_length"], found["log_parameter_max_length_on_error"]) == ("0", "0")
    idle, interval, count = (int(found[f"tcp_keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + interval * count <= 30


def test_the_database_is_postgresql_17_encrypted_and_seen_from_inside_only() -> None:
    found = properties("Database")
    assert (found["Engine"], found["EngineVersion"]) == ("postgres", "17")
    assert (found["StorageEncrypted"], found["KmsKeyId"]) == (True, SAMPLES["KeyArn"])
    assert found["PubliclyAccessible"] is False
    assert found["VPCSecurityGroups"] == [SAMPLES["DatabaseSecurityGroupId"]]


def test_the_database_is_guarded_and_kept_by_default() -> None:
    found = properties("Database")
    assert (found["MultiAZ"], found["DeletionProtection"]) == ("true", "true")
    assert int(found["BackupRetentionPeriod"]) >= 7
    assert found["EnablePerformanceInsights"] is True


def test_the_administrators_password_is_read_where_the_database_step_alone_may_read() -> None:
    assert properties("Database")["MasterUserPassword"] == (
        "{{resolve:ssm-secure:/airkiln/test/database/AIRKILN_ADMIN_DATABASE_PASSWORD}}"
    )


@pytest.mark.parametrize(("count", "zones"), [("2", "AB"), ("3", "ABC")])
def test_the_file_system_is_in_every_zone(count: str, zones: str) -> None:
    resources = Template("data").deployed(ZoneCount=count)
    targets = [
        r["Properties"]["SubnetId"] for r in resources.values() if r["Type"] == "AWS::EFS::MountTarget"
    ]
    assert targets == SAMPLES["DatabaseSubnetIds"].split(",")[: len(zones)]


def test_the_file_system_is_encrypted_and_backed_up() -> None:
    found = properties("FileSystem")
    assert (found["Encrypted"], found["KmsKeyId"]) == (True, SAMPLES["KeyArn"])
    assert found["BackupPolicy"] == {"Status": "ENABLED"}


def test_redis_is_made_only_where_it_is_the_broker_and_never_evicts_a_task() -> None:
    assert not any(r["Type"].startswith("AWS::ElastiCache") for r in Template("data").deployed().values())
    assert properties("RedisParameters", **EVERYTHING["data"])["Properties"] == {
        "maxmemory-policy": "noeviction"
    }
    redis = properties("Redis", **EVERYTHING["data"])
    assert redis["TransitEncryptionEnabled"]
    assert redis["AtRestEncryptionEnabled"]
    assert redis["AuthToken"].startswith("{{resolve:ssm-secure:")


@pytest.mark.parametrize("bucket", ["LogBucket", "ReleaseBucket"])
def test_a_bucket_of_ours_is_encrypted_by_the_key(bucket: str) -> None:
    found = Template("buckets").deployed()[bucket]["Properties"]["BucketEncryption"]
    (rule,) = found["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == SAMPLES["KeyArn"]


@pytest.mark.parametrize("bucket", ["LogBucket", "ReleaseBucket", "AccessBucket"])
def test_a_bucket_is_versioned_and_closed(bucket: str) -> None:
    found = Template("buckets").deployed()[bucket]["Properties"]
    assert found["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(found["PublicAccessBlockConfiguration"]) == 4


def test_load_balancers_log_to_a_bucket_that_they_can_write_to() -> None:
    found = Template("buckets").deployed()["AccessBucket"]["Properties"]["BucketEncryption"]
    (rule,) = found["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_the_names_of_buckets_are_the_ones_that_roles_may_reach() -> None:
    """Roles come before the buckets and name them; the names must agree."""
    named = {
        r["Properties"]["BucketName"]
        for r in Template("buckets").deployed().values()
        if "BucketName" in r["Properties"]
    }
    reached = {
        resource.split(":::")[1].split("/")[0]
        for policy in ("TaskFilesPolicy", "AgentPolicy")
        for statement in Template("security").deployed()[policy]["Properties"]["PolicyDocument"]["Statement"]
        for resource in (
            [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        )
        if ":s3:::" in resource
    }
    assert reached < named
