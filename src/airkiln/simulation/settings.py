"""Settings of a simulation: a TOML file of pools, each with what AIRKILN_POOLS says of it and beside that
what its group and machines say.

    name = "four slots"         # default: the file's
    [pools.default]
    slots = 4                   # this and every other setting of the pool, as in AIRKILN_POOLS
    min = 0                     # the group's
    max = 10
    boot = 45                   # seconds from the asking for a worker until it takes tasks
    price = 0.0992              # of a worker an hour, in any currency
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from airkiln.errors import RefusedError
from airkiln.pools import settings as pools
from airkiln.pools.model import Pool

MACHINES: Final[Mapping[str, tuple[type, float, float]]] = {
    "min": (int, 0, 1000),
    "max": (int, 1, 1000),
    "boot": (float, 0, 3600),
    "price": (float, 0, 10000),
}
"""Settings beside the pool's own, with their bounds."""


@dataclass(frozen=True)
class Shape:
    """A pool and its machines."""

    pool: Pool
    min: int = 0
    max: int = 10
    boot: float = 45.0
    """Seconds from the asking for a worker until it takes tasks."""
    price: float | None = None
    """Of a worker an hour."""


@dataclass(frozen=True)
class Setting:
    """One file."""

    name: str
    shapes: Mapping[str, Shape]
    """By the pool's name."""


def read_all(paths: Iterable[Path]) -> list[Setting]:
    """All the files. RefusedError lists every problem at once."""
    settings: list[Setting] = []
    problems: list[str] = []
    for path in paths:
        try:
            settings.append(read(path))
        except RefusedError as error:
            problems += error.problems
    names = [each.name for each in settings]
    problems += [
        f"--settings: two are named {name!r}: give one another `name`"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems:
        raise RefusedError(problems)
    return settings


def read(path: Path) -> Setting:
    """One file. RefusedError names what is wrong and where."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError([f"{path}: cannot be read ({error.strerror}): correct --settings"]) from None
    except UnicodeDecodeError as error:
        raise RefusedError([f"{path}: no UTF-8 ({error.reason}): save the file as UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:  # has line and column
        raise RefusedError([f"{path}: no TOML: {error}"]) from None
    problems = [
        f"{key}: no such key; there are name and pools" for key in given if key not in ("name", "pools")
    ]
    name = given.get("name", path.stem)
    if not isinstance(name, str) or not name:
        problems.append("name: must be a text")
    found = given.get("pools")
    shapes: dict[str, Shape] = {}
    if not isinstance(found, Mapping) or not found:
        problems.append("pools: missing: describe each in a table such as [pools.default]")
    else:
        wrong, shapes = _shapes(found)
        problems += [f"pools.{problem}" for problem in wrong]
    if problems:
        raise RefusedError([f"{path}: {problem}" for problem in problems])
    return Setting(name, shapes)


def _shapes(given: Mapping[str, Any]) -> tuple[list[str], dict[str, Shape]]:
    machines: dict[str, dict[str, Any]] = {}
    rest: dict[str, Any] = {}
    problems: list[str] = []
    for name, settings in given.items():
        if not isinstance(settings, Mapping):
            rest[name] = settings  # refused below
            continue
        machines[name] = {key: value for key, value in settings.items() if key in MACHINES}
        rest[name] = {key: value for key, value in settings.items() if key not in MACHINES}
        wrong = [_wrong(key, value) for key, value in machines[name].items()]
        least, most = machines[name].get("min", Shape.min), machines[name].get("max", Shape.max)
        if not any(wrong) and least > most:
            wrong.append(f"min: {least} is above max, which is {most}")
        problems += [f"{name}.{problem}" for problem in wrong if problem]
    others, found = pools.read(rest)
    problems += others
    if problems:
        return problems, {}
    return [], {name: Shape(pool, **machines[name]) for name, pool in found.items()}


def _wrong(key: str, value: Any) -> str:  # noqa: ANN401 - what TOML held
    kind, low, high = MACHINES[key]
    fits = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if fits and low <= value <= high:
        return ""
    return f"{key}: must be {'a whole number' if kind is int else 'a number'} from {low:g} to {high:g}"
