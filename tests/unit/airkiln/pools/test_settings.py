"""Pools as a parameter describes them: what is understood, and that every refusal is a sentence."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airkiln.errors import REFUSED, RefusedError
from airkiln.pools.model import Pool, Scheduled
from airkiln.pools.settings import own, parse


def pools(given: object) -> dict[str, Pool]:
    return parse({"AIRKILN_POOLS": json.dumps(given)})


def refusal(given: object) -> list[str]:
    with pytest.raises(RefusedError) as refused:
        pools(given)
    return refused.value.problems


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_pool_needs_its_slots_alone() -> None:
    assert pools({"default": {"slots": 4}}) == {"default": Pool("default", 4, ("default",))}


def test_every_setting_is_taken() -> None:
    found = pools(
        {
            "batch": {
                "slots": 2,
                "queues": ["batch", "nightly"],
                "cooldown": 60,
                "scale_out_step": 3,
                "drain_limit": 3600,
                "rebalance": "drain",
                "cpu_limit": 80.5,
                "memory_limit": 70,
                "schedule": [
                    {
                        "days": "mon-fri",
                        "from": "07:30",
                        "until": "18:00",
                        "timezone": "Europe/Berlin",
                        "min": 2,
                    }
                ],
            }
        }
    )
    hours = Scheduled(frozenset(range(5)), 450, 1080, "Europe/Berlin", 2)
    assert found == {
        "batch": Pool("batch", 2, ("batch", "nightly"), 60, 3, 3600, "drain", 80.5, 70, (hours,))
    }


def test_without_the_variable_there_is_one_pool_of_airflows_own_settings() -> None:
    assert parse({}) == {"default": Pool("default", 16, ("default",))}
    given = {"AIRFLOW__CELERY__WORKER_CONCURRENCY": "6", "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "work"}
    assert parse(given) == {"default": Pool("default", 6, ("work",))}


@pytest.mark.parametrize("concurrency", ["0", "many", "-3", "1.5"])
def test_a_concurrency_that_is_no_number_is_refused(concurrency: str) -> None:
    with pytest.raises(RefusedError, match="WORKER_CONCURRENCY: the value must be a whole number"):
        parse({"AIRFLOW__CELERY__WORKER_CONCURRENCY": concurrency})


def test_an_instance_finds_its_own_pool() -> None:
    given = {"AIRKILN_POOLS": '{"default": {"slots": 4}, "batch": {"slots": 1}}'}
    assert own(given, "batch").slots == 1
    with pytest.raises(RefusedError, match=r"has no pool 'other'.*only default, batch"):
        own(given, "other")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "4", '{"default": 4}', '{"default": {}}'])
def test_what_describes_no_pool_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="AIRKILN_POOLS: ") as refused:
        parse({"AIRKILN_POOLS": text})
    assert refused.value.exit_code == REFUSED


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"slots": 0}, "default.slots: must be a whole number from 1 to 1000"),
        ({"slots": True}, "default.slots"),
        ({"slots": 2.5}, "default.slots"),
        ({"slots": "4"}, "default.slots"),
        ({"slots": 4, "cooldown": -1}, "default.cooldown: must be a number from 0 to 86400"),
        ({"slots": 4, "cooldown": float("nan")}, "default.cooldown"),
        ({"slots": 4, "scale_out_step": 0}, "default.scale_out_step"),
        ({"slots": 4, "drain_limit": 172801}, "default.drain_limit: must be a number from 60 to 172800"),
        ({"slots": 4, "cpu_limit": 101}, "default.cpu_limit"),
        ({"slots": 4, "memory_limit": 0}, "default.memory_limit"),
        ({"slots": 4, "rebalance": "yes"}, "default.rebalance: must be drain or ignore"),
        ({"slots": 4, "queues": []}, "default.queues"),
        ({"slots": 4, "queues": "one"}, "default.queues"),
        ({"slots": 4, "queues": ["a b"]}, "default.queues"),
        ({"slots": 4, "min": 3}, "default.min: no such setting; there are slots, queues"),
        ({"slots": 4, "schedule": {}}, "default.schedule: must be a list"),
        ({"slots": 4, "schedule": [4]}, "default.schedule[0]: must be an object"),
        ({"slots": 4, "schedule": [{"from": "08:00"}]}, "default.schedule[0].until: missing"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(settings: object, named: str) -> None:
    found = refusal({"default": settings})
    assert len(found) >= 1
    assert any(sentence.startswith(f"AIRKILN_POOLS: {named}") for sentence in found), found


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"days": "monday"}, "days"),
        ({"days": "mon-"}, "days"),
        ({"days": 1}, "days"),
        ({"from": "7:30"}, "from"),
        ({"from": "24:00"}, "from"),
        ({"from": 450}, "from"),
        ({"until": "18:60"}, "until"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"timezone": None}, "timezone"),
        ({"min": -1}, "min"),
        ({"min": True}, "min"),
        ({"minimum": 1}, "minimum"),
    ],
)
def test_hours_that_cannot_be_are_refused_by_their_name(change: dict[str, object], named: str) -> None:
    entry = {"days": "mon-fri", "from": "07:30", "until": "18:00", "timezone": "UTC", "min": 2}
    found = refusal({"default": {"slots": 4, "schedule": [{**entry, **change}]}})
    assert [sentence.split(":")[1].strip() for sentence in found] == [f"default.schedule[0].{named}"]


def test_every_problem_is_told_at_once() -> None:
    found = refusal({"Default": {"slots": 1}, "a": {"slots": 0, "scale_out_step": 0}, "b": {}})
    assert len(found) == 4


@pytest.mark.parametrize("name", ["", "A", "a-b", "1a", "a" * 17])
def test_a_name_that_no_stack_could_have_is_refused(name: str) -> None:
    assert "a pool's name is" in refusal({name: {"slots": 1}})[0]


def test_two_pools_on_one_queue_are_refused() -> None:
    found = refusal({"default": {"slots": 1}, "batch": {"slots": 1, "queues": ["batch", "default"]}})
    assert len(found) == 1
    assert "default is a queue of default already" in found[0]


def test_a_queue_named_twice_in_one_pool_is_one_queue() -> None:
    assert pools({"a": {"slots": 1, "queues": ["x", "x"]}})["a"].queues == ("x",)


def hours(**entry: object) -> Pool:
    return pools({"a": {"slots": 1, "schedule": [entry]}})["a"]


@pytest.mark.parametrize(
    ("moment", "least"),
    [
        ("2026-11-20T06:29:59", 0),  # a Friday; Berlin is an hour ahead
        ("2026-11-20T06:30:00", 2),
        ("2026-11-20T16:59:59", 2),
        ("2026-11-20T17:00:00", 0),
        ("2026-11-21T12:00:00", 0),
        ("2026-07-20T05:30:00", 2),  # summer time: two hours
    ],
)
def test_hours_are_those_of_their_place(moment: str, least: int) -> None:
    pool = hours(days="mon-fri", **{"from": "07:30"}, until="18:00", timezone="Europe/Berlin", min=2)
    assert pool.scheduled_min(at(moment)) == least


@pytest.mark.parametrize(
    ("moment", "least"),
    [
        ("2026-11-20T21:59:00", 0),
        ("2026-11-20T22:00:00", 3),
        ("2026-11-21T05:59:00", 3),
        ("2026-11-21T06:00:00", 0),
        ("2026-11-21T22:00:00", 0),
    ],
)
def test_hours_over_midnight_belong_to_the_day_they_begin_on(moment: str, least: int) -> None:
    pool = hours(days="fri", **{"from": "22:00"}, until="06:00", min=3)
    assert pool.scheduled_min(at(moment)) == least


def test_a_whole_day_and_days_around_the_week_s_end() -> None:
    pool = hours(days="sat-mon, wed", **{"from": "00:00"}, until="24:00", min=1)
    days = [pool.scheduled_min(at(f"2026-11-{day}T12:00:00")) for day in range(16, 23)]  # from a Monday
    assert days == [1, 0, 1, 0, 0, 1, 1]


def test_of_hours_that_overlap_the_most_workers_count() -> None:
    entries = [
        {"from": "08:00", "until": "20:00", "min": 2},
        {"from": "12:00", "until": "14:00", "min": 5},
    ]
    pool = pools({"a": {"slots": 1, "schedule": entries}})["a"]
    assert [pool.scheduled_min(at(f"2026-11-20T{hour}:00:00")) for hour in ("07", "09", "13", "15")] == [
        0,
        2,
        5,
        2,
    ]
