"""Gives one environment what its stacks will: parameters, a queue, a bucket with DAGs, an instance profile.

The secrets are drawn for one rehearsal, live in the memory of the local AWS, and are gone with ``down``; the
administrator's login is also kept, closed to others, where ``up`` can print it again.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rehearsal import control
from rehearsal.postgres import Postgres
from rehearsal.settings import POSTGRES, Region, aws_region, endpoint_url

NAME = "rehearsal"
PROFILE = "airkiln-rehearsal"
DAGS = Path(__file__).with_name("dags")
DAGS_BUCKET = "airkiln-rehearsal-dags"
QUEUE = "default"
VISIBILITY = 60
"""Seconds until SQS hands out a message again that nobody deleted (docs/architecture.md, "Broker")."""


@dataclass(frozen=True)
class Login:
    """The first administrator of a rehearsal."""

    username: str
    password: str


def prepare(region: Region, postgres: Postgres) -> Login:
    """Make everything that an instance of this environment reads; returns the login to the UI.

    The calling process must be in the region's network.
    """
    login = Login("admin", secrets.token_urlsafe(12))
    database_password = secrets.token_urlsafe(24)
    postgres.create_role("airflow", database_password)
    postgres.create_database("airflow", "airflow")
    queue_url = control.client("sqs").create_queue(
        QueueName=f"airkiln-{NAME}-{QUEUE}", Attributes={"VisibilityTimeout": str(VISIBILITY)}
    )["QueueUrl"]
    _publish_dags(control.client("s3"))
    _make_profile(control.client("iam"))
    _put_parameters(control.client("ssm"), _parameters(database_password, queue_url, login))
    return login


def _parameters(database_password: str, queue_url: str, login: Login) -> dict[str, dict[str, str]]:
    address = f"airflow:{quote(database_password, safe='')}@{POSTGRES}/airflow"
    bundle = {
        "name": "dags",
        "classpath": "airflow.providers.amazon.aws.bundles.s3.S3DagBundle",
        "kwargs": {"bucket_name": DAGS_BUCKET, "aws_conn_id": None},
    }
    return {
        "common": {
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
            "AIRFLOW__CELERY__BROKER_URL": "sqs://",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg://{address}?sslmode=require",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES": json.dumps(
                {QUEUE: {"url": queue_url}}
            ),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__REGION": aws_region(),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY),
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg://{address}?sslmode=require",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{address}?ssl=require",
            "AIRFLOW__OPERATORS__DEFAULT_QUEUE": QUEUE,
            "AWS_DEFAULT_REGION": aws_region(),
            "AWS_ENDPOINT_URL": endpoint_url(),
        },
        "database": {
            "AIRKILN_ADMIN_EMAIL": "admin@example.com",
            "AIRKILN_ADMIN_PASSWORD": login.password,
            "AIRKILN_ADMIN_USERNAME": login.username,
        },
    }


def _put_parameters(ssm: Any, parameters: dict[str, dict[str, str]]) -> None:  # noqa: ANN401 - boto3
    for folder, values in parameters.items():
        for name, value in values.items():
            ssm.put_parameter(
                Name=f"/airkiln/{NAME}/{folder}/{name}", Value=value, Type="SecureString", Overwrite=True
            )


def _publish_dags(s3: Any) -> None:  # noqa: ANN401 - boto3
    s3.create_bucket(Bucket=DAGS_BUCKET)
    for path in sorted(DAGS.glob("*.py")):
        s3.put_object(Bucket=DAGS_BUCKET, Key=path.name, Body=path.read_bytes())


def _make_profile(iam: Any) -> None:  # noqa: ANN401 - boto3
    if any(known["InstanceProfileName"] == PROFILE for known in iam.list_instance_profiles()["InstanceProfiles"]):
        return
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    iam.create_role(RoleName=PROFILE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName=PROFILE)
    iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
