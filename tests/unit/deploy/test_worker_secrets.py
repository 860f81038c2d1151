"""Which secrets deploy.yml stores where code of other people reads them: for every host, and for workers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

VARIABLES: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[3] / "playbooks/vars/airflow_parameters.yml").read_text(encoding="utf-8")
)
READ = {
    "common": {"deploy/API_SECRET_KEY"},
    # The password of the broker, of the login to Celery's tables, and of the one that clears task instances.
    "worker": {
        "database/AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD",
        "database/AIRKILN_LIFECYCLE_PASSWORD",
        "deploy/REDIS_TOKEN",
    },
}


def secrets(value: object) -> set[str]:
    """The secrets that a variable names, itself and through the variables in it."""
    texts, seen = [json.dumps(value)], set[str]()
    for text in texts:  # grows
        named = {name for name in VARIABLES if re.search(rf"\b{name}\b", text)} - seen
        seen |= named
        texts += [json.dumps(VARIABLES[name]) for name in sorted(named)]
    return set(re.findall(r"\{secret(?:-in-url)?:([^}]+)\}", "".join(texts)))


@pytest.mark.parametrize("folder", READ)
def test_a_worker_reads_these_secrets_and_no_others(folder: str) -> None:
    assert secrets(VARIABLES["airkiln_airflow_parameters"][folder]) == READ[folder]


def test_the_search_finds_what_others_read() -> None:
    folders = VARIABLES["airkiln_airflow_parameters"]
    owners = {"deploy/AIRFLOW_DATABASE_PASSWORD", "deploy/FERNET_KEY", "deploy/JWT_SECRET"}
    assert owners <= secrets(folders["webserver"])
    assert owners <= secrets(folders["scheduler"])
