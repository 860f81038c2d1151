"""The parameters of the rehearsed environment: what its instances read from Parameter Store.

The secrets are generated once per rehearsal and exist in the memory of the emulated AWS only. A second ``up``
reads them back from there, because the database and its users know them by then; ``down`` forgets them.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from rehearsal.aws.account import ACCOUNT, aws_region, endpoint_url
from rehearsal.aws.client import client
from rehearsal.linux.addresses import NETWORK, POSTGRES

NAME = "rehearsal"
FOLDER = f"/airkiln/{NAME}"
PROFILE = "airkiln-rehearsal"
TASK_ROLE = "airkiln-rehearsal-tasks"
"""The IAM role of Airflow and its tasks."""
DAGS_BUCKET = "airkiln-rehearsal-dags"
ADMINISTRATOR = "admin"
DATABASE_ADMINISTRATOR = "airkiln_administrator"
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
AUTHORITY = "/etc/airkiln/database-authority.pem"
"""Where the image holds the certificate of the authority that vouches for the database."""
QUEUE = "default"
VISIBILITY = 60
"""Seconds until SQS delivers a message again that nobody deleted (docs/architecture.md, "Broker")."""


@dataclass(frozen=True)
class Secrets:
    """The secrets of one rehearsal."""

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
    def known_or_new(cls, known: Mapping[str, str]) -> Secrets:
        """The secrets that are stored already, and new ones in place of those that are missing.

        :param known: the stored parameters, by ``folder/NAME``.
        """
        connection = urlsplit(known.get(f"database/{DATABASE}", ""))
        found = {
            "api_key": known.get("common/AIRFLOW__API__SECRET_KEY"),
            "jwt_key": known.get("webserver/AIRFLOW__API_AUTH__JWT_SECRET"),
            "fernet_key": known.get("webserver/AIRFLOW__CORE__FERNET_KEY"),
            "database_password": unquote(connection.password or ""),
            "admin_password": known.get("database/AIRKILN_ADMIN_PASSWORD"),
            "database_admin_password": known.get("database/AIRKILN_ADMIN_DATABASE_PASSWORD"),
            "controller_password": known.get("database/AIRKILN_CONTROLLER_DATABASE_PASSWORD"),
            "worker_password": known.get("database/AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD"),
            "lifecycle_password": known.get("database/AIRKILN_LIFECYCLE_PASSWORD"),
        }
        return cls(**{name: value for name, value in found.items() if value})


def parameters(secret: Secrets, queue_url: str) -> dict[str, dict[str, str]]:
    """The parameters of the environment: variables by folder.

    :param queue_url: URL of the one queue in SQS.
    """
    worker = _database("airflow_worker", secret.worker_password)
    airflow = _database("airflow", secret.database_password)
    # What a worker does not have: the owner's login, and the keys of connections and of tokens.
    owner = airflow | {"AIRFLOW__CORE__FERNET_KEY": secret.fernet_key}
    server = owner | {"AIRFLOW__API_AUTH__JWT_SECRET": secret.jwt_key}
    results = {"AIRFLOW__CELERY__RESULT_BACKEND": f"db+{worker[DATABASE]}"}
    bundle = {
        "name": "dags",
        "classpath": "airflow.providers.amazon.aws.bundles.s3.S3DagBundle",
        "kwargs": {"bucket_name": DAGS_BUCKET, "aws_conn_id": None},
    }
    return {
        "common": {
            "AIRFLOW__API__SECRET_KEY": secret.api_key,
            "AIRFLOW__CELERY__BROKER_URL": "sqs://",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES": json.dumps(
                {QUEUE: {"url": queue_url}}
            ),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__REGION": aws_region(),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__WAIT_TIME_SECONDS": "2",
            # The one instance that runs tasks has the role all, which includes the web server.
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:8080/execution/",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__OPERATORS__DEFAULT_QUEUE": QUEUE,
            "AWS_DEFAULT_REGION": aws_region(),
            "AWS_ENDPOINT_URL": endpoint_url(),
        },
        "database": owner
        | {
            "AIRKILN_ADMIN_DATABASE_PASSWORD": secret.database_admin_password,
            "AIRKILN_ADMIN_DATABASE_USER": DATABASE_ADMINISTRATOR,
            "AIRKILN_ADMIN_EMAIL": "admin@example.com",
            "AIRKILN_ADMIN_PASSWORD": secret.admin_password,
            "AIRKILN_ADMIN_USERNAME": ADMINISTRATOR,
            "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD": secret.worker_password,
            "AIRKILN_CONTROLLER_DATABASE_PASSWORD": secret.controller_password,
            "AIRKILN_LIFECYCLE_PASSWORD": secret.lifecycle_password,
        },
        # Whoever asks from the VPC is a load balancer, as behind the security group of a deployment.
        "webserver": server | {"AIRKILN_WEB_TRUSTED_PROXIES": str(NETWORK)},
        "scheduler": server
        | {
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{airflow[DATABASE]}",
            "AIRKILN_CONTROLLER_DATABASE_PASSWORD": secret.controller_password,
        },
        # A worker runs the code of DAGs: its login reaches Celery's result tables and nothing else.
        "worker": worker | results | {"AIRKILN_LIFECYCLE_PASSWORD": secret.lifecycle_password},
        # Read after all the others, by a host with the role all.
        "all": airflow,
    }


def task_role_tag() -> dict[str, str]:
    """The tag that names the role of Airflow and its tasks."""
    return {"airkiln:task-role": f"arn:aws:iam::{ACCOUNT}:role/{TASK_ROLE}"}


_VERIFIED = f"sslmode=verify-full&sslrootcert={AUTHORITY}"


def _database(user: str, password: str) -> dict[str, str]:
    """The variables with which Airflow connects to the metadata database as this user."""
    address = f"{user}:{quote(password, safe='')}@{POSTGRES}/airflow"
    url = f"postgresql+psycopg://{address}?{_VERIFIED}&require_auth=scram-sha-256"
    return dict.fromkeys((DATABASE, f"{DATABASE}_ASYNC"), url)  # asyncpg knows no require_auth


def put(wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Store parameters of the environment.

    :param wanted: values by folder and name. The caller must be in the region's network, as for all below.
    """
    ssm = client("ssm")
    for folder, values in wanted.items():
        for name, value in values.items():
            ssm.put_parameter(
                Name=f"{FOLDER}/{folder}/{name}", Value=value, Type="SecureString", Overwrite=True
            )


def remove(folder: str, names: Iterable[str]) -> None:
    """Delete parameters of the environment, if they are there."""
    client("ssm").delete_parameters(Names=[f"{FOLDER}/{folder}/{name}" for name in names])


def parameter(name: str) -> str:
    """The value of one parameter, by ``folder/NAME``; empty if it does not exist."""
    ssm = client("ssm")
    try:
        found = ssm.get_parameter(Name=f"{FOLDER}/{name}", WithDecryption=True)
    except ssm.exceptions.ParameterNotFound:
        return ""
    return str(found["Parameter"]["Value"])


def stored() -> dict[str, str]:
    """All parameters of the environment, by ``folder/NAME``."""
    pages = (
        client("ssm")
        .get_paginator("get_parameters_by_path")
        .paginate(Path=FOLDER, Recursive=True, WithDecryption=True)
    )
    return {
        each["Name"].removeprefix(f"{FOLDER}/"): each["Value"]
        for page in pages
        for each in page["Parameters"]
    }


def database_address() -> str:
    """The address of the metadata database as Airflow's own user, for libpq outside the instances.

    The file of authorities is in the image, so that the certificate is not verified from here.
    """
    url = parameter(f"scheduler/{DATABASE}").replace("+psycopg", "", 1)
    return url.replace(_VERIFIED, "sslmode=require", 1)
