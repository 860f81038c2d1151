"""Creates what an environment's stacks create first: queue, bucket with DAGs, log group, instance profile,
parameters.

The calling process must be in the region's network.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.aws.account import ACCOUNT
from rehearsal.aws.client import client
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.deployment.parameters import (
    ADMINISTRATOR,
    DAGS_BUCKET,
    DATABASE_ADMINISTRATOR,
    NAME,
    PROFILE,
    QUEUE,
    TASK_ROLE,
    VISIBILITY,
    Secrets,
    parameters,
    put,
    stored,
)

JOURNAL = f"/airkiln/{NAME}/journal"
"""The log group of the instances' journals."""
DAGS = Path(__file__).with_name("dags")
"""The example DAGs."""


@dataclass(frozen=True)
class Login:
    """The first administrator of Airflow."""

    username: str
    password: str = field(repr=False)


def seed(postgres: Postgres) -> Login:
    """Create everything that an instance of the environment reads, unless it exists.

    :param postgres: the database server, which gets the administrator that RDS would have.
    :returns: the login to Airflow's UI.
    """
    secret = Secrets.known_or_new(stored())
    postgres.create_administrator(DATABASE_ADMINISTRATOR, secret.database_admin_password)
    created = client("sqs").create_queue(
        QueueName=queue_name(), Attributes={"VisibilityTimeout": str(VISIBILITY)}
    )
    client("s3").create_bucket(Bucket=DAGS_BUCKET)
    logs = client("logs")
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=JOURNAL)
    publish_dags(DAGS)
    _make_profile(client("iam"))
    _make_task_role(client("iam"))
    put(parameters(secret, created["QueueUrl"]))
    return Login(ADMINISTRATOR, secret.admin_password)


def queue_name() -> str:
    """Name of the environment's one queue in SQS."""
    return f"airkiln-{NAME}-{QUEUE}"


def publish_dags(folder: Path) -> None:
    """Put the Python files of a folder into the environment's bucket of DAGs."""
    s3 = client("s3")
    for path in sorted(folder.glob("*.py")):
        s3.put_object(Bucket=DAGS_BUCKET, Key=path.name, Body=path.read_bytes())


def _make_profile(iam: Any) -> None:  # noqa: ANN401 - boto3 makes its clients' types at run time
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    exists = iam.exceptions.EntityAlreadyExistsException
    with contextlib.suppress(exists):
        iam.create_role(RoleName=PROFILE, AssumeRolePolicyDocument=json.dumps(trust))
    with contextlib.suppress(exists):
        iam.create_instance_profile(InstanceProfileName=PROFILE)
    if not iam.get_instance_profile(InstanceProfileName=PROFILE)["InstanceProfile"]["Roles"]:
        iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)


def _make_task_role(iam: Any) -> None:  # noqa: ANN401
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{PROFILE}"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=TASK_ROLE, AssumeRolePolicyDocument=json.dumps(trust))
