"""Gives one environment what its stacks will: parameters, a queue, a bucket with DAGs, an instance profile.

The secrets are drawn once for one rehearsal and live in the memory of the local AWS alone: a second ``up``
reads them back from there, as the database and its users know them by then, and ``down`` forgets them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from rehearsal.aws.account import aws_region, endpoint_url
from rehearsal.aws.client import client
from rehearsal.deployment.postgres import Postgres
from rehearsal.linux.addresses import POSTGRES

NAME = "rehearsal"
FOLDER = f"/airkiln/{NAME}"
PROFILE = "airkiln-rehearsal"
DAGS = Path(__file__).with_name("dags")
DAGS_BUCKET = "airkiln-rehearsal-dags"
ADMINISTRATOR = "admin"
DATABASE_ADMINISTRATOR = "airkiln_administrator"
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
QUEUE = "default"
VISIBILITY = 60
"""Seconds until SQS hands out a message again that nobody deleted (docs/architecture.md, "Broker")."""


@dataclass(frozen=True)
class Login:
    """The first administrator of a rehearsal."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Secrets:
    """What is drawn for one rehearsal."""

    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    jwt_key: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    fernet_key: str = field(
        default_factory=lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    )
    database_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    database_admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    controller_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    worker_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    lifecycle_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @classmethod
    def known_or_drawn(cls, known: Mapping[str, str]) -> Secrets:
        """Those that the parameters hold already, by ``folder/NAME``, and new ones for what they lack."""
        connection = urlsplit(known.get(f"database/{DATABASE}", ""))
        found = {
            "api_key": known.get("common/AIRFLOW__API__SECRET_KEY"),
            "jwt_key": known.get("common/AIRFLOW__API_AUTH__JWT_SECRET"),
            "fernet_key": known.get("common/AIRFLOW__CORE__FERNET_KEY"),
            "database_password": unquote(connection.password or ""),
            "admin_password": known.get("database/AIRKILN_ADMIN_PASSWORD"),
            "database_admin_password": known.get("database/AIRKILN_ADMIN_DATABASE_PASSWORD"),
            "controller_password": known.get("database/AIRKILN_CONTROLLER_DATABASE_PASSWORD"),
            "worker_password": known.get("database/AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD"),
            "lifecycle_password": known.get("database/AIRKILN_LIFECYCLE_PASSWORD"),
        }
        return cls(**{name: value for name, value in found.items() if value})


def prepare(postgres: Postgres) -> Login:
    """Have everything that an instance of this environment reads; returns the login to the UI.

    The calling process must be in the region's network.
    """
    ssm = client("ssm")
    drawn = Secrets.known_or_drawn(_known_parameters(ssm))
    postgres.create_administrator(DATABASE_ADMINISTRATOR, drawn.database_admin_password)
    queue_url = client("sqs").create_queue(
        QueueName=f"airkiln-{NAME}-{QUEUE}", Attributes={"VisibilityTimeout": str(VISIBILITY)}
    )["QueueUrl"]
    _publish_dags(client("s3"))
    _make_profile(client("iam"))
    _put_parameters(ssm, parameters(drawn, queue_url))
    return Login(ADMINISTRATOR, drawn.admin_password)


def parameters(drawn: Secrets, queue_url: str) -> dict[str, dict[str, str]]:
    """The parameters of the environment: a folder's name, and its variables."""
    airflow, worker = (
        _database("airflow", drawn.database_password),
        _database("airflow_worker", drawn.worker_password),
    )
    results = {"AIRFLOW__CELERY__RESULT_BACKEND": f"db+{worker[DATABASE]}"}
    bundle = {
        "name": "dags",
        "classpath": "airflow.providers.amazon.aws.bundles.s3.S3DagBundle",
        "kwargs": {"bucket_name": DAGS_BUCKET, "aws_conn_id": None},
    }
    return {
        "common": {
            "AIRFLOW__API__SECRET_KEY": drawn.api_key,
            "AIRFLOW__API_AUTH__JWT_SECRET": drawn.jwt_key,
            "AIRFLOW__CELERY__BROKER_URL": "sqs://",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES": json.dumps(
                {QUEUE: {"url": queue_url}}
            ),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__REGION": aws_region(),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__WAIT_TIME_SECONDS": "2",
            # The one instance that runs tasks has the role all, the web server among it.
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:8080/execution/",
            "AIRFLOW__CORE__FERNET_KEY": drawn.fernet_key,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__OPERATORS__DEFAULT_QUEUE": QUEUE,
            "AWS_DEFAULT_REGION": aws_region(),
            "AWS_ENDPOINT_URL": endpoint_url(),
        },
        "database": airflow
        | {
            "AIRKILN_ADMIN_DATABASE_PASSWORD": drawn.database_admin_password,
            "AIRKILN_ADMIN_DATABASE_USER": DATABASE_ADMINISTRATOR,
            "AIRKILN_ADMIN_EMAIL": "admin@example.com",
            "AIRKILN_ADMIN_PASSWORD": drawn.admin_password,
            "AIRKILN_ADMIN_USERNAME": ADMINISTRATOR,
            "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD": drawn.worker_password,
            "AIRKILN_CONTROLLER_DATABASE_PASSWORD": drawn.controller_password,
            "AIRKILN_LIFECYCLE_PASSWORD": drawn.lifecycle_password,
        },
        "webserver": airflow,
        "scheduler": airflow
        | {
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{airflow[DATABASE]}",
            "AIRKILN_CONTROLLER_DATABASE_PASSWORD": drawn.controller_password,
        },
        # A worker runs what DAGs say: its login reaches Celery's result tables and nothing else.
        "worker": worker | results | {"AIRKILN_LIFECYCLE_PASSWORD": drawn.lifecycle_password},
        # Read after all the others, by a host that is all of them.
        "all": airflow,
    }


def _database(user: str, password: str) -> dict[str, str]:
    """The variables by which Airflow logs in to the metadata database as this user."""
    address = f"{user}:{quote(password, safe='')}@{POSTGRES}/airflow"
    return {
        DATABASE: f"postgresql+psycopg://{address}?sslmode=require",
        f"{DATABASE}_ASYNC": f"postgresql+asyncpg://{address}?ssl=require",
    }


def _known_parameters(ssm: Any) -> dict[str, str]:  # noqa: ANN401 - boto3
    pages = ssm.get_paginator("get_parameters_by_path").paginate(
        Path=FOLDER, Recursive=True, WithDecryption=True
    )
    return {
        each["Name"].removeprefix(f"{FOLDER}/"): each["Value"]
        for page in pages
        for each in page["Parameters"]
    }


def _put_parameters(ssm: Any, wanted: dict[str, dict[str, str]]) -> None:  # noqa: ANN401 - boto3
    for folder, values in wanted.items():
        for name, value in values.items():
            ssm.put_parameter(
                Name=f"{FOLDER}/{folder}/{name}", Value=value, Type="SecureString", Overwrite=True
            )


def _publish_dags(s3: Any) -> None:  # noqa: ANN401 - boto3
    s3.create_bucket(Bucket=DAGS_BUCKET)
    for path in sorted(DAGS.glob("*.py")):
        s3.put_object(Bucket=DAGS_BUCKET, Key=path.name, Body=path.read_bytes())


def _make_profile(iam: Any) -> None:  # noqa: ANN401 - boto3
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    made_before = iam.exceptions.EntityAlreadyExistsException
    with contextlib.suppress(made_before):
        iam.create_role(RoleName=PROFILE, AssumeRolePolicyDocument=json.dumps(trust))
    with contextlib.suppress(made_before):
        iam.create_instance_profile(InstanceProfileName=PROFILE)
    if not iam.get_instance_profile(InstanceProfileName=PROFILE)["InstanceProfile"]["Roles"]:
        iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
