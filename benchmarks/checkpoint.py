"""Checkpoints of a long campaign: the raw runs, one JSON line each, over as many invocations as it takes."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

Line = TypeVar("Line")


class Stamped(Protocol):
    """What every line has."""

    date: str
    commit: str


def lines(path: Path, kind: type[Line]) -> Iterator[Line]:
    """The lines of a file as this dataclass; none if the file does not exist."""
    if path.exists():
        for text in path.read_text().splitlines():
            yield kind(**json.loads(text))


def add(line: Any, path: Path) -> None:  # noqa: ANN401 - any dataclass
    """Append a line to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(line)) + "\n")


def now() -> str:
    """The time of a new line, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def measured(stamped: Sequence[Stamped]) -> tuple[str, str] | None:
    """The day of the newest line, and the commit of all or git's range from the oldest line's to the newest.

    None without lines.
    """
    if not stamped:
        return None
    ordered = sorted(stamped, key=lambda line: line.date)
    first, last = ordered[0].commit, ordered[-1].commit
    return ordered[-1].date[:10], last if first == last else f"{first}..{last}"
