"""The values to which the main job's test changes every shared parameter."""

from __future__ import annotations

import json

import pytest

from airkiln.parameters import rules
from airkiln.pools import settings
from airkiln.roles import ROLES
from rehearsal.deployment.parameters import Secrets, parameters
from tests.rehearsal import every_parameter


@pytest.fixture
def now() -> dict[str, str]:
    """What an instance with the role `all` has loaded in a rehearsal."""
    folders = parameters(Secrets(), "http://10.42.0.2:4566/123456789012/queue")
    return {name: value for folder in ROLES["all"].folders for name, value in folders.get(folder, {}).items()}


def test_the_boot_accepts_each_of_them_and_all_together(now: dict[str, str]) -> None:
    others = every_parameter.others(now)
    assert [name for name, value in others.items() if now.get(name) == value] == []
    for names in every_parameter.REACH:
        now |= {name: others[name] for name in names}
        given = [rules.Parameter(name, value, name) for name, value in now.items()]
        assert rules.check(given, ROLES["all"], {}) == []
        queues = json.loads(now["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES"])
        assert set(settings.own(now, "default").queues) == set(queues)
        assert now[settings.DEFAULT_QUEUE] in queues


def test_each_is_changed_once_and_the_first_reload_leaves_units_alone() -> None:
    first, second = every_parameter.REACH
    assert sorted([*first, *second]) == sorted(every_parameter.NAMES)
    assert {unit for name in first for unit in every_parameter.consumers(name)} == (
        set(every_parameter.UNITS) - every_parameter.UNDISTURBED
    )
    assert {unit for name in second for unit in every_parameter.consumers(name)} == set(every_parameter.UNITS)
