"""One table has every number among the parameters that Airkiln's programs and units read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airkiln import numbers
from airkiln.failover.config import HEARTBEAT, LONGEST
from airkiln.numbers import NUMBERS
from airkiln.parameters import rules
from airkiln.parameters.rules import Parameter
from airkiln.pools import settings as pools
from airkiln_deploy.settings import PORTS, problems

ROOT = Path(__file__).parents[3]
TABLES = {"agreement.py", "changes.py", "numbers.py", "receivers.py"}
"""They name variables that Airflow alone reads."""
TEXTS = {
    "AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__HOST",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API__SSL_CERT",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS",
    "AIRFLOW__DATABASE__CHECK_MIGRATIONS",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
    "AIRFLOW__LOGGING__LOGGING_LEVEL",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER",
    "AIRFLOW__LOGGING__REMOTE_LOGGING",
    "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID",
    "AIRFLOW__OPERATORS__DEFAULT_QUEUE",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD",  # named in a sentence
}
"""What the programs name and is not a number to them."""


def sources() -> list[str]:
    return [
        path.read_text(encoding="utf-8")
        for folder, suffix in (("src", "*.py"), ("roles", "*.j2"), ("playbooks/tasks", "*.yml"))
        for path in (ROOT / folder).rglob(suffix)
        if path.name not in TABLES
    ]


def test_every_setting_that_a_program_or_a_unit_names_is_a_number_of_the_table_or_no_number() -> None:
    found = {name for text in sources() for name in re.findall(r"\bAIRFLOW__[A-Z_]*[A-Z]\b", text)}
    of_airflow = {name for name in NUMBERS if name.startswith("AIRFLOW__")}
    assert found - of_airflow == TEXTS
    assert not TEXTS & set(NUMBERS)


def test_every_number_that_a_program_asks_of_airflows_configuration_is_in_the_table() -> None:
    asked = [
        f"AIRFLOW__{section}__{key}".upper()
        for text in sources()
        for section, key in re.findall(r'conf\.get(?:int|float)\(\s*"(\w+)", "(\w+)"', text)
    ]
    assert len(asked) >= 4
    assert set(asked) <= set(NUMBERS)


def refused(name: str, value: str) -> bool:
    """Whether the boot refuses the value; the preflight of a deployment does the same."""
    at_boot = rules.check([Parameter(name, value, name)], None, {})
    before = problems({"common": {name: value}})
    if name in PORTS and not at_boot:
        return False  # a deployment takes the one port that its stacks reach
    assert [f"{name}: ", f"common/{name}: "] == [
        each.partition(" ")[0] + " " for each in at_boot + before
    ] or (not at_boot and not before)
    return bool(at_boot)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_least_and_the_most_are_accepted(name: str) -> None:
    number = NUMBERS[name]
    for value in (number.least, number.most):
        assert not refused(name, f"{value:.15g}")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_beyond_its_bounds_or_in_another_form_is_refused(name: str) -> None:
    number = NUMBERS[name]
    beyond = [number.most + 1, *([number.least - 1] if number.least >= 1 else [])]
    for value in [f"{each:.15g}" for each in beyond] + ["many", "-1", "1_6", " 16", "16 ", "+16", "1e1", "²"]:
        assert refused(name, value), value
    assert refused(name, "8.0") is number.whole


@pytest.mark.parametrize("name", NUMBERS)
def test_an_empty_value_is_accepted_where_it_means_the_default(name: str) -> None:
    assert (numbers.reason(name, "") is None) is NUMBERS[name].optional


def test_the_bounds_are_those_of_the_programs_that_read_the_numbers() -> None:
    assert (NUMBERS[pools.CONCURRENCY].least, NUMBERS[pools.CONCURRENCY].most) == pools.NUMBERS["slots"][1:]
    assert NUMBERS[HEARTBEAT].most == LONGEST


def test_the_sentence_has_the_bounds_and_the_unit() -> None:
    assert numbers.reason("AIRFLOW__API__PORT", "65536") == (
        "the value must be a whole number from 1 to 65535 (a port), in the digits 0 to 9 alone"
    )
    assert numbers.reason(HEARTBEAT, "0") == (
        "the value must be a number from 0.1 to 3600 seconds, in the digits 0 to 9 alone"
    )
