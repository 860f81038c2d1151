"""The emulated RDS: a database instance has a server, and is available when that one serves."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.unit.rehearsal.aws.services.rds.recorded import WANTED, Rds


def test_an_instance_is_created_until_its_server_serves(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED)
    assert aws.status == "creating"
    aws.settle()
    assert aws.status == "available"


def test_the_server_vouches_for_the_name_of_the_endpoint(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED)
    aws.settle()
    (found,) = aws.client.describe_db_instances()["DBInstances"]
    assert aws.server.host == found["Endpoint"]["Address"]
    assert aws.server.host.endswith(".us-east-1.rds.amazonaws.com")


def test_the_master_user_owns_the_database_of_the_request(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED)
    aws.settle()
    assert aws.server.passwords == {"master": "letters2"}
    assert aws.server.owners == {"airflow": "master"}


def test_without_a_name_there_is_no_database(aws: Rds) -> None:
    aws.client.create_db_instance(**{name: WANTED[name] for name in WANTED if name != "DBName"})
    aws.settle()
    assert aws.server.owners == {}


def test_the_parameter_groups_settings_reach_the_server_but_for_those_of_rds_itself(aws: Rds) -> None:
    group = {"DBParameterGroupName": "settings", "DBParameterGroupFamily": "postgres17"}
    aws.client.create_db_parameter_group(**group, Description="settings")
    wanted = {"rds.force_ssl": "1", "tcp_keepalives_idle": "10"}
    aws.client.modify_db_parameter_group(
        DBParameterGroupName="settings",
        Parameters=[
            {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "immediate"}
            for name, value in wanted.items()
        ],
    )
    aws.client.create_db_instance(**WANTED, DBParameterGroupName="settings")
    aws.settle()
    assert aws.server.settings == {"tcp_keepalives_idle": "10"}


def test_a_server_that_does_not_start_fails_the_instance(aws: Rds) -> None:
    aws.server.broken = True
    aws.client.create_db_instance(**WANTED)
    aws.settle()
    assert aws.status == "failed"


def test_a_changed_password_of_the_master_user_counts_at_once(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED)
    aws.settle()
    aws.client.modify_db_instance(DBInstanceIdentifier="airkiln-prod", MasterUserPassword="letters3")
    assert aws.server.passwords == {"master": "letters3"}


def test_another_change_leaves_the_password(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED)
    aws.settle()
    aws.server.passwords.clear()
    aws.client.modify_db_instance(DBInstanceIdentifier="airkiln-prod", DeletionProtection=True)
    assert aws.server.passwords == {}


@pytest.mark.parametrize("whose", ["an instance's", "somebody else's"])
def test_a_second_instance_is_refused_where_there_is_one_server(aws: Rds, whose: str) -> None:
    if whose == "an instance's":
        aws.client.create_db_instance(**WANTED)
    else:
        aws.server.here = True
    with pytest.raises(ClientError, match="InstanceQuotaExceeded"):
        aws.client.create_db_instance(**WANTED | {"DBInstanceIdentifier": "airkiln-other"})


def test_a_deleted_instance_takes_its_server_along(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED)
    aws.settle()
    aws.client.delete_db_instance(DBInstanceIdentifier="airkiln-prod", SkipFinalSnapshot=True)
    aws.settle()
    assert not aws.server.here
    assert aws.client.describe_db_instances()["DBInstances"] == []


def test_an_instance_that_is_protected_keeps_its_server(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED, DeletionProtection=True)
    aws.settle()
    with pytest.raises(ClientError, match="protected"):
        aws.client.delete_db_instance(DBInstanceIdentifier="airkiln-prod", SkipFinalSnapshot=True)
    assert aws.server.here


def test_a_server_has_the_security_groups_of_its_instance_before_it_starts(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED, VpcSecurityGroupIds=["sg-1", "sg-2"])
    assert aws.server.host == ""
    assert aws.listed == [[("10.42.0.10", ["sg-1", "sg-2"])]]


def test_a_change_of_the_groups_counts_at_once(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED, VpcSecurityGroupIds=["sg-1"])
    aws.client.modify_db_instance(DBInstanceIdentifier="airkiln-prod", VpcSecurityGroupIds=["sg-2"])
    aws.client.delete_db_instance(DBInstanceIdentifier="airkiln-prod", SkipFinalSnapshot=True)
    aws.settle()
    assert aws.listed[1:] == [[("10.42.0.10", ["sg-2"])], []]
