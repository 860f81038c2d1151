"""A reload of each parameter that a deployment writes, or that the boot path knows: its consumers notice.

The tests on machines change some of them. Here all are changed, on a host with the role `all`, which has the
units of every role.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from airkiln import roles
from airkiln.errors import AirkilnError
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.lifecycle.model import Stage, Unit
from airkiln.parameters import rules
from airkiln.systemd import envfile
from tests.unit.airkiln.boot.test_boot import Machine
from tests.unit.airkiln.parameters.test_rules import GOOD, GOOD_FERNET, GOOD_SECRET, VERIFIED

ALL = frozenset(roles.ROLES["all"].units)
COMPONENTS = ALL - {roles.WORKER_LOGS_UNIT}
SERVERS = COMPONENTS - {roles.WORKER_UNIT}
CELERY = frozenset({roles.SCHEDULER_UNIT, roles.WORKER_UNIT})
DATABASE_LOGIN = COMPONENTS | set(roles.CONTROLLERS)
POOLS = {"default": {"slots": 4, "queues": ["default"]}}

CONSUMERS: dict[str, frozenset[str]] = {
    "AIRFLOW__API_AUTH__JWT_SECRET": frozenset({roles.WEBSERVER_UNIT, roles.SCHEDULER_UNIT}),
    "AIRFLOW__API__BASE_URL": COMPONENTS,
    "AIRFLOW__API__PORT": frozenset({roles.WEBSERVER_UNIT}),
    "AIRFLOW__API__SECRET_KEY": ALL - {roles.DAG_PROCESSOR_UNIT},
    "AIRFLOW__AWS_ECS_EXECUTOR__": frozenset({roles.SCHEDULER_UNIT}),
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__": CELERY,
    "AIRFLOW__CELERY__BROKER_URL": CELERY,
    "AIRFLOW__CELERY__RESULT_BACKEND": CELERY,
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": frozenset(),
    "AIRFLOW__CORE__": COMPONENTS,
    "AIRFLOW__CORE__FERNET_KEY": SERVERS,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": DATABASE_LOGIN,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": COMPONENTS,
    "AIRFLOW__LOGGING__": ALL,
    "AIRFLOW__OPERATORS__DEFAULT_QUEUE": COMPONENTS,
    "AIRKILN_CONTROLLER_DATABASE_PASSWORD": frozenset(roles.CONTROLLERS),
    "AIRKILN_EFS_": frozenset({roles.EFS_TUNNEL_UNIT}),
    "AIRKILN_POOLS": frozenset({roles.WORKER_UNIT}),
    "AIRKILN_WEB_": frozenset({roles.WEBSERVER_UNIT}),
    "AWS_DEFAULT_REGION": COMPONENTS,
}
"""Units that must restart, by the beginning of the parameter's name; the longest decides."""

READ_WHEN_NEEDED = {
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "the pool's slots stand in its place",
    rules.UNVERIFIED: "the boot path reads it, before any unit starts",
    "AIRKILN_ADMIN_": "the database step runs on an instance of its own, with what it reads then",
    "AIRKILN_LIFECYCLE_PASSWORD": "a drain reads its login when it clears",
    "AIRKILN_RETENTION_DAYS": "a timer starts the service, which reads it then",
}
"""Parameters whose consumers read them anew each time, and so restart for no change."""

OTHERS = {
    "AIRFLOW__API__PORT": "8082",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "9",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "https://other.example.org/execution/",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor,LocalExecutor",
    "AIRFLOW__CORE__PARALLELISM": "64",
    "AIRFLOW__CORE__FERNET_KEY": f"b7PXuTn1nTzIVkR3vQ4kR8uVZq2yS1xDgJmW0aLcEfo=,{GOOD_FERNET}",
    "AIRFLOW__CELERY__BROKER_URL": "rediss://:Hq7dM2vXw9KpZ4tB@redis:6379/0",
    "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://airflow:Wn5cR8yLk3JsG6fD@other/airflow?{VERIFIED}",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg://airflow:Wn5cR8yLk3JsG6fD@other/airflow?{VERIFIED}",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+psycopg://airflow:Wn5cR8yLk3JsG6fD@other/airflow?{VERIFIED}",
    "AIRKILN_EFS_HOST": "other.example.org",
    "AIRKILN_EFS_ID": "fs-1123456789abcdef0",
    "AIRKILN_POOLS": json.dumps({"default": POOLS["default"] | {"slots": 8}}),
    "AIRKILN_RETENTION_DAYS": "30",
    "AIRKILN_WEB_TRUSTED_PROXIES": "10.30.0.0/16",
}
"""Values to change to, where any text would be refused."""


def written() -> set[str]:
    """Every parameter that deploy.yml writes."""
    text = (Path(__file__).parents[4] / "playbooks/vars/airflow_parameters.yml").read_text(encoding="utf-8")
    return set(re.findall(r"\b(?:AIRFLOW__|AIRKILN_|AWS_)[A-Z_]+\b", text))


NAMES = sorted(written() | {"AIRFLOW__API__PORT", "AIRKILN_EFS_HOST", *GOOD})
SHARED = [name for name in NAMES if not name.startswith("AIRKILN_ADMIN_") and name != rules.UNVERIFIED]
"""What a host with the role `all` may change. The rest is the database step's, or has one value only."""
_NEEDED = (*roles.ROLES["all"].required, *roles.ROLES["all"].required_with_celery)
OPTIONAL = [name for name in SHARED if name not in (*_NEEDED, roles.EXECUTOR, "AIRKILN_POOLS")]
"""What may be removed; without an executor or its pool the host would run no worker, or another one."""


def of(name: str, table: dict[str, frozenset[str]]) -> frozenset[str] | None:
    entries = [entry for entry in table if name.startswith(entry)]
    return table[max(entries, key=len)] if entries else None


def drawn(name: str, run: int = 1) -> str:
    """What looks like a secret of its own for each name: one that is used twice is refused."""
    return hashlib.sha256(f"{name} {run}".encode()).hexdigest()[:32]


def other(name: str) -> str:
    return OTHERS.get(name, drawn(name, 2))


@pytest.fixture
def host(machine: Layout) -> Machine:
    """A booted host with the role `all`, that runs its first worker."""
    made = Machine(machine)
    made.found = Instance("i-1", "eu-west-1", "all", "prod")
    made.source.values |= {name: drawn(name) for name in SHARED}
    made.source.values |= {name: value for name, value in GOOD.items() if value != GOOD_SECRET}
    made.source.values |= {
        "AIRFLOW__API__PORT": "8080",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "32",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": GOOD[roles.DATABASE],
        "AIRKILN_EFS_HOST": "files.example.org",
        "AIRKILN_EFS_ID": "fs-0123456789abcdef0",
        "AIRKILN_POOLS": json.dumps(POOLS),
        "AIRKILN_RETENTION_DAYS": "90",
        "AIRKILN_WEB_TRUSTED_PROXIES": "10.20.0.0/16",
    }
    made.workers = [Unit(1, Stage.RUNNING)]
    made.boot().start()
    return made


def restarted(host: Machine) -> set[str]:
    """The units that a reload restarts; the worker as its first generation."""
    before = len(host.commands)
    host.boot().reload()
    units = {unit for command in host.commands[before:] for unit in command if unit.endswith(".service")}
    next_worker = roles.worker_unit(2)
    return units - {next_worker} | ({roles.WORKER_UNIT} if next_worker in units else set())


def test_every_parameter_of_a_deployment_has_its_consumers_here() -> None:
    known = (*CONSUMERS, *READ_WHEN_NEEDED)
    assert len(written()) > 30
    assert [name for name in NAMES if not name.startswith(known)] == []
    assert [entry for entry in known if not any(name.startswith(entry) for name in NAMES)] == []


@pytest.mark.parametrize("name", SHARED)
def test_a_reload_that_changes_a_parameter_reaches_its_consumers(host: Machine, name: str) -> None:
    host.source.values[name] = other(name)
    assert rules.check([rules.Parameter(name, other(name), name)], None, {}) == []
    found = restarted(host)
    consumers = of(name, CONSUMERS) or frozenset()
    assert consumers <= found
    if not consumers:
        assert name.startswith(tuple(READ_WHEN_NEEDED))
        assert found <= {roles.WORKER_UNIT}
    stored = envfile.read(host.layout.run_env) | envfile.read(host.layout.admin_env)
    derived = name == "AIRFLOW__CELERY__WORKER_CONCURRENCY"
    assert stored[name] == ("4" if derived else other(name))


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_reload_that_removes_a_parameter_reaches_its_consumers_too(host: Machine, name: str) -> None:
    del host.source.values[name]
    assert (of(name, CONSUMERS) or frozenset()) <= restarted(host)


def test_one_reload_of_every_parameter_restarts_every_consumer_once(host: Machine) -> None:
    host.source.values |= {name: other(name) for name in SHARED}
    found = restarted(host)
    assert found == {*ALL, roles.EFS_TUNNEL_UNIT, *roles.CONTROLLERS}
    stopped = [command for command in host.commands if command[0] == "try-restart"]
    assert len(stopped) == 1
    assert restarted(host) == set()


def test_after_a_reload_that_failed_the_next_one_reaches_every_consumer(host: Machine) -> None:
    host.source.values |= {name: other(name) for name in SHARED}

    def refuse(*_: str) -> None:
        raise AirkilnError("systemd does not answer")

    with pytest.raises(AirkilnError):
        replace(host.boot(), systemctl=refuse).reload()
    assert restarted(host) == {*ALL, roles.EFS_TUNNEL_UNIT, *roles.CONTROLLERS}
