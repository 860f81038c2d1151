"""The parameters of the rehearsed environment, and that its secrets stay what they are."""

from __future__ import annotations

import json

import pytest

from airkiln.parameters import rules
from airkiln.roles import ROLES
from rehearsal.deployment.parameters import Secrets, parameters
from rehearsal.deployment.seed import Login

URL = "http://10.42.0.2:4566/123456789012/airkiln-rehearsal-default"


def flat(secret: Secrets) -> dict[str, str]:
    """As SSM gives them back below the environment's folder."""
    folders = parameters(secret, URL).items()
    return {f"{folder}/{name}": value for folder, values in folders for name, value in values.items()}


def test_every_secret_is_read_back_from_the_parameters() -> None:
    drawn = Secrets()
    assert Secrets.known_or_new(flat(drawn)) == drawn


def test_a_password_with_signs_of_its_own_is_read_back() -> None:
    drawn = Secrets(database_password="p@ss/w:rd%20 #ü")
    assert Secrets.known_or_new(flat(drawn)) == drawn


def test_without_parameters_all_are_drawn_and_two_rehearsals_differ() -> None:
    one, other = Secrets.known_or_new({}), Secrets.known_or_new({})
    assert all(vars(one).values())
    assert not set(vars(one).values()) & set(vars(other).values())


def test_what_is_missing_after_half_a_run_is_drawn_and_the_rest_kept() -> None:
    drawn = Secrets()
    half = flat(drawn)
    del half["database/AIRKILN_ADMIN_PASSWORD"]
    completed = Secrets.known_or_new(half)
    assert completed.database_password == drawn.database_password
    assert completed.admin_password not in ("", drawn.admin_password)


def test_no_secret_is_in_the_text_of_the_login() -> None:
    assert "hidden" not in repr(Login("admin", "hidden"))


@pytest.mark.parametrize("role", ["all", "database"])
def test_no_parameter_would_be_refused_at_boot(role: str) -> None:
    known = parameters(Secrets(), URL)
    values = {name: value for folder in ROLES[role].folders for name, value in known.get(folder, {}).items()}
    assert [rules.weak_reason(name, value) for name, value in values.items() if value] == [None] * len(values)


def test_celery_finds_the_queue_by_its_url() -> None:
    common = parameters(Secrets(), URL)["common"]
    queues = json.loads(common["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES"])
    assert queues == {common["AIRFLOW__OPERATORS__DEFAULT_QUEUE"]: {"url": URL}}
