"""Raw runs of a long campaign: one JSON line each, gathered over as many invocations as it takes."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

Line = TypeVar("Line")


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
