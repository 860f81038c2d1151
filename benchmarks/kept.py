"""Raw runs of a long campaign: one JSON line each, gathered over as many invocations as it takes."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

Line = TypeVar("Line")


class Stamped(Protocol):
    """What every line says of itself."""

    date: str
    commit: str


def lines(path: Path, kind: type[Line]) -> Iterator[Line]:
    """What was kept in a file, which need not be there, as this dataclass."""
    if path.exists():
        for text in path.read_text().splitlines():
            yield kind(**json.loads(text))


def keep(line: Any, path: Path) -> None:  # noqa: ANN401 - any dataclass
    """Keep one more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(line)) + "\n")


def now() -> str:
    """The time of a line."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def measured(stamped: Sequence[Stamped]) -> tuple[str, str] | None:
    """The last day of the lines, and the commit at which they were made, or git's range from first to last;
    None without lines."""
    if not stamped:
        return None
    inorder = sorted(stamped, key=lambda line: line.date)
    first, last = inorder[0].commit, inorder[-1].commit
    return inorder[-1].date[:10], last if first == last else f"{first}..{last}"
