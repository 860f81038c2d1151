"""Secrets and logins: drawn once, kept, each where its role alone reads it, and never printed."""

from __future__ import annotations

import json

from tests.stacks.deploy.conftest import Environment
from tests.stacks.deploy.life import LAYERS, Step, secrets_of


def test_each_role_finds_what_it_needs_and_no_more(deployed: Step) -> None:
    names: dict[str, set[str]] = {}
    for path in deployed.after["parameters"]:
        folder, _, name = path.partition("/")
        names.setdefault(folder, set()).add(name)
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in names["common"]
    assert "AIRFLOW__API_AUTH__JWT_SECRET" not in names["common"] | names["worker"] | names["database"]
    assert "AIRFLOW__CORE__FERNET_KEY" not in names["common"] | names["worker"]
    assert {"AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__RESULT_BACKEND"} <= names["worker"]
    assert names["database"] >= {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRKILN_ADMIN_DATABASE_PASSWORD",
        "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD",
        "AIRKILN_CONTROLLER_DATABASE_PASSWORD",
        "AIRKILN_LIFECYCLE_PASSWORD",
        "AIRKILN_ADMIN_PASSWORD",
    }


def test_whoever_logs_in_to_the_database_does_so_under_a_name_of_its_own(deployed: Step) -> None:
    values = {name: value for name, (_, value, _) in deployed.after["parameters"].items()}
    worker = values["worker/AIRFLOW__CELERY__RESULT_BACKEND"]
    assert worker == f"db+{values['worker/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN']}"
    owner = values["scheduler/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    password = values["database/AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD"]
    assert worker.startswith(f"db+postgresql+psycopg://airflow_worker:{password}@")
    assert owner.startswith(f"postgresql+psycopg://airflow:{values['deploy/AIRFLOW_DATABASE_PASSWORD']}@")
    verified = "sslmode=verify-full&sslrootcert=/etc/airkiln/database-authority.pem"
    assert owner.endswith(f"/airflow?{verified}&require_auth=scram-sha-256")
    assert "common/AIRKILN_DATABASE_UNVERIFIED" not in values


def test_every_secret_is_a_securestring_and_nothing_else_repeats_it(deployed: Step) -> None:
    secrets = secrets_of(deployed)
    kept = {name: value for name, value in secrets.items() if "://" not in value}
    assert len(set(kept.values())) >= 9
    in_clear = [
        name
        for name, (kind, value, _) in deployed.after["parameters"].items()
        if kind != "SecureString" and any(secret in value for secret in kept.values())
    ]
    assert in_clear == []


def test_secrets_are_under_the_key_of_the_environment(life: Environment, deployed: Step) -> None:
    key = deployed.after["parameters"]["infra/security/KeyArn"][1]
    pages = (
        life.aws.client("ssm")
        .get_paginator("describe_parameters")
        .paginate(
            ParameterFilters=[{"Key": "Path", "Option": "Recursive", "Values": [f"/airkiln/{life.name}"]}]
        )
    )
    keys = {each["KeyId"] for page in pages for each in page["Parameters"] if each["Type"] == "SecureString"}
    assert keys == {key}


def test_no_secret_is_ever_printed(
    failed: Step, not_migrated: Step, deployed: Step, thought_of: Step, changed: Step
) -> None:
    runs = (failed, not_migrated, deployed, thought_of, changed)
    printed = "".join(step.run.output for step in runs)
    assert "deploy/FERNET_KEY" in printed  # the search would find what is printed
    assert [name for name, value in secrets_of(changed).items() if value in printed] == []


def test_no_secret_is_in_a_stack(life: Environment, deployed: Step) -> None:
    held = json.dumps([deployed.after["stacks"], life.aws.stacks(life.name)], default=str)
    assert [name for name, value in secrets_of(deployed).items() if value in held] == []


def test_secrets_drawn_before_a_failure_are_kept(failed: Step, deployed: Step) -> None:
    drawn = secrets_of(failed)
    assert len(drawn) >= 9
    assert {name: deployed.after["parameters"][name][1] for name in drawn} == drawn


def test_secrets_outlive_a_destruction(deployed_again: Step, destroyed: Step) -> None:
    assert secrets_of(deployed_again).items() >= secrets_of(destroyed).items()


def test_destruction_keeps_secrets_and_forgets_outputs(destroyed: Step) -> None:
    assert secrets_of(destroyed) == {
        name: value
        for name, (kind, value, _) in destroyed.before["parameters"].items()
        if kind == "SecureString"
    }
    gone = set(destroyed.before["parameters"]) - set(destroyed.after["parameters"])
    assert gone == {
        name
        for name in destroyed.before["parameters"]
        if name.startswith("infra/") and name.split("/")[1] in LAYERS
    }
