"""The settings of the worker pools: AIRKILN_POOLS, read and checked.

The variable is JSON by the pool's name, and the same on every role; deploy.yml writes it. The number of
workers is not part of it: a pool's Auto Scaling group has its own minimum and maximum.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final
from zoneinfo import ZoneInfo

from airkiln import numbers
from airkiln.errors import RefusedError
from airkiln.pools.model import DEFAULT, Pool, Scheduled

VARIABLE: Final = "AIRKILN_POOLS"
CONCURRENCY: Final = "AIRFLOW__CELERY__WORKER_CONCURRENCY"
DEFAULT_QUEUE: Final = "AIRFLOW__OPERATORS__DEFAULT_QUEUE"
AIRFLOWS_CONCURRENCY: Final = 16
"""worker_concurrency of Airflow's Celery provider, where it is not set."""

NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
"""What deploy.yml takes as a pool's name: it stands in the names of stacks and groups."""
QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""What is a queue's name with each broker; SQS has the narrowest rule."""
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY: Final = 86400
REBALANCE: Final = ("drain", "ignore")


NUMBERS: Final[Mapping[str, tuple[type, float, float]]] = {
    "slots": (int, 1, 1000),
    "cooldown": (float, 0, DAY),
    "scale_out_step": (int, 1, 1000),
    "drain_limit": (float, 60, 2 * DAY),
    "cpu_limit": (float, 1, 100),
    "memory_limit": (float, 1, 100),
}
"""Settings that are numbers, with their bounds. Two days are the longest that a lifecycle hook waits."""
SETTINGS: Final = tuple(field.name for field in fields(Pool) if field.name != "name")
_SCHEDULED_KEYS: Final = ("days", "from", "until", "timezone", "min")


def parse(variables: Mapping[str, str]) -> dict[str, Pool]:
    """The pools by name, in the order given. RefusedError lists every problem at once.

    Without the variable there is one, `default`, which takes Airflow's own settings.
    """
    text = variables.get(VARIABLE)
    if text is None:
        return {DEFAULT: _only(variables)}
    try:
        given = json.loads(text)
    except ValueError as error:
        raise RefusedError([f"{VARIABLE}: not JSON ({error}): correct the parameter"]) from None
    problems, pools = read(given)
    if problems:
        raise RefusedError([f"{VARIABLE}: {problem}" for problem in problems])
    return pools


def own(variables: Mapping[str, str], name: str) -> Pool:
    """The pool of that name. RefusedError where AIRKILN_POOLS does not have it."""
    pools = parse(variables)
    if name not in pools:
        raise RefusedError(
            [
                f"{VARIABLE}: has no pool {name!r} (the instance's tag airkiln:pool), only "
                f"{', '.join(pools)}: add it, or end the instance"
            ]
        )
    return pools[name]


def _only(variables: Mapping[str, str]) -> Pool:
    text = variables.get(CONCURRENCY) or str(AIRFLOWS_CONCURRENCY)
    if reason := numbers.reason(CONCURRENCY, text):
        raise RefusedError([f"{CONCURRENCY}: {reason}"])
    return Pool(DEFAULT, int(text), (variables.get(DEFAULT_QUEUE) or DEFAULT,))


def read(given: Any) -> tuple[list[str], dict[str, Pool]]:  # noqa: ANN401 - what JSON or YAML held
    """Problems, and the pools where there are none. `given` is settings by the pool's name."""
    if not isinstance(given, Mapping) or not given:
        return ['must be an object of pools by name, such as {"default": {"slots": 4}}'], {}
    problems: list[str] = []
    pools: dict[str, Pool] = {}
    taken: dict[str, str] = {}
    for name, settings in given.items():
        if not NAME.fullmatch(str(name)):
            problems.append(f"{name}: a pool's name is 1 to 16 lower-case letters and digits, a letter first")
            continue
        if not isinstance(settings, Mapping):
            problems.append(f'{name}: must be an object of settings, such as {{"slots": 4}}')
            continue
        found = _Settings(str(name), settings)
        problems += [f"{name}.{problem}" for problem in found.problems]
        for queue in found.queues():
            if queue in taken:
                problems.append(
                    f"{name}.queues: {queue} is a queue of {taken[queue]} already: two pools on one queue "
                    "would each count and take the other's tasks: give each its own"
                )
            taken[queue] = str(name)
        if not found.problems:
            pools[str(name)] = found.pool()
    return problems, {} if problems else pools


class _Settings:
    """One pool's settings as given, and what is wrong with them."""

    def __init__(self, name: str, given: Mapping[Any, Any]) -> None:
        self._name, self._given = name, given
        self.problems: list[str] = []
        self._values: dict[str, Any] = {}
        for key, value in given.items():
            if key in NUMBERS:
                self._number(key, value)
            elif key == "queues":
                self._queues(value)
            elif key == "rebalance":
                if value not in REBALANCE:
                    self.problems.append(f"rebalance: must be {' or '.join(REBALANCE)}")
                self._values[key] = value
            elif key == "schedule":
                self._schedule(value)
            else:
                self.problems.append(f"{key}: no such setting; there are {', '.join(SETTINGS)}")
        if "slots" not in given:
            self.problems.append("slots: missing: say how many tasks at a time one worker runs")

    def queues(self) -> tuple[str, ...]:
        """Its queues, the pool's name where none are given."""
        return tuple(self._values.get("queues", (self._name,)))

    def pool(self) -> Pool:
        """The pool, where there are no problems."""
        return Pool(**{**self._values, "name": self._name, "queues": self.queues()})

    def _number(self, key: str, value: Any) -> None:  # noqa: ANN401
        kind, low, high = NUMBERS[key]
        fits = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        if not fits or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            self.problems.append(f"{key}: must be {what} from {low:g} to {high:g}")
        else:
            self._values[key] = value

    def _queues(self, value: Any) -> None:  # noqa: ANN401
        if (
            not isinstance(value, list | tuple)
            or not value
            or not all(isinstance(queue, str) and QUEUE.fullmatch(queue) for queue in value)
        ):
            self.problems.append(
                "queues: must be a list of names, each 1 to 80 letters, digits, hyphens or underscores"
            )
        else:
            self._values["queues"] = tuple(dict.fromkeys(value))

    def _schedule(self, value: Any) -> None:  # noqa: ANN401
        if not isinstance(value, list | tuple):
            self.problems.append("schedule: must be a list of objects with from, until and min")
            return
        found = []
        for number, entry in enumerate(value):
            problems, scheduled = _scheduled(entry)
            self.problems += [f"schedule[{number}]{problem}" for problem in problems]
            if scheduled is not None:
                found.append(scheduled)
        self._values["schedule"] = tuple(found)


def _scheduled(entry: Any) -> tuple[list[str], Scheduled | None]:  # noqa: ANN401
    if not isinstance(entry, Mapping):
        return [": must be an object with from, until and min"], None
    problems = [
        f".{key}: no such key; there are {', '.join(_SCHEDULED_KEYS)}"
        for key in entry
        if key not in _SCHEDULED_KEYS
    ]
    problems += [f".{key}: missing" for key in ("from", "until", "min") if key not in entry]
    days = _days(entry.get("days", "mon-sun"))
    if days is None:
        problems.append(".days: must be such as mon-fri, or sat,sun")
    start, until = (_minutes(entry.get(key, "00:00")) for key in ("from", "until"))
    for key, minutes in (("from", start), ("until", until)):
        if minutes is None or (key == "from" and minutes == DAY // 60):
            problems.append(f'.{key}: must be a time of day in quotes, such as "07:30"')
    timezone = entry.get("timezone", "UTC")
    if not _is_timezone(timezone):
        problems.append(".timezone: unknown; give a name such as Europe/Berlin")
    least = entry.get("min", 0)
    if not isinstance(least, int) or isinstance(least, bool) or not 0 <= least <= 1000:
        problems.append(".min: must be a whole number from 0 to 1000")
    if problems or days is None or start is None or until is None:
        return problems, None
    return [], Scheduled(days, start, until, timezone, least)


def _days(text: Any) -> frozenset[int] | None:  # noqa: ANN401
    if not isinstance(text, str):
        return None
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            return None
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if dash else 0
        found |= {(begin + step) % 7 for step in range(length + 1)}
    return frozenset(found)


def _minutes(text: Any) -> int | None:  # noqa: ANN401
    # YAML reads 07:30 without quotes as a number of minutes in some versions: text alone is sure.
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _is_timezone(name: Any) -> bool:  # noqa: ANN401
    if not isinstance(name, str):
        return False
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True
