"""Reads the tables in matrix/: sentences, each with the calls that must be allowed or refused."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.stacks.access.simulation import Request
from tests.stacks.access.world import PLACES, expanded

MATRIX = Path(__file__).with_name("matrix")


class Case(NamedTuple):
    """One cell of the matrix."""

    sentence: str
    request: Request
    allowed: bool

    def __str__(self) -> str:
        return f"{self.sentence}: {self.request.action} on {self.request.resource}"


def cases_of(table: dict[str, Any]) -> Iterator[Case]:
    """The cases of one table; ValueError for what it does not know."""
    if unknown := set(table) - {"who", "may", "must not"}:
        raise ValueError(f"unknown words in the matrix: {unknown}")
    for entry in table["who"]:
        ((principal, title),) = entry.items()
        for verb in ("may", "must not"):
            for phrase, call in table.get(verb, {}).items():
                if unknown := set(call) - {"do", "to", "when"}:
                    raise ValueError(f"{phrase}: unknown words {unknown}")
                for action, resource in product(_listed(call["do"]), _listed(call["to"])):
                    request = Request(principal, action, expanded(resource), context(call.get("when", {})))
                    yield Case(f"{title} {verb} {phrase}", request, verb == "may")


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def context(given: dict[str, str]) -> dict[str, str]:
    """Circumstances; those that are ARNs may be written short."""
    is_arn = ("ARN", ":arn", "SourceArn", "ecs:cluster")
    return {
        key: expanded(value) if key.endswith(is_arn) else value.format(**PLACES)
        for key, value in given.items()
    }


@cache
def matrix() -> tuple[Case, ...]:
    """All cases of all files."""
    return tuple(
        case
        for path in sorted(MATRIX.glob("*.yaml"))
        for table in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        for case in cases_of(table)
    )
