"""A history of task instances: when each was queued and how long it ran, by queue, in the order of queueing.

It comes from a CSV file with the columns `queue`, `queued_at` (ISO 8601, UTC where no offset is given, or
seconds since the epoch) and `seconds`, in any order and beside others; or from a metadata database. Two
arrays a queue hold a million task instances in 16 MB.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airkiln.errors import RefusedError

if TYPE_CHECKING:
    from airkiln.database.connect import Connection

QUEUE, QUEUED_AT, SECONDS = COLUMNS = ("queue", "queued_at", "seconds")
PROBLEMS_SHOWN: Final = 20
"""After so many the reading ends: a file that is wrong is mostly wrong in every line."""
FIRST, LAST = 0.0, 253402300800.0
"""The years 1970 to 9999, in seconds since the epoch."""
LONGEST: Final = 366 * 86400.0
"""Seconds that a task may have run; what is longer is a mistake in the file."""
FETCHED: Final = 10000
"""Rows that the database sends at once."""

QUERY: Final = """
SELECT coalesce(queue, 'default'), extract(epoch FROM queued_dttm)::float8,
       greatest(extract(epoch FROM end_date - greatest(start_date, queued_dttm)), 0)::float8
FROM public.task_instance
WHERE queued_dttm >= to_timestamp(%s) AND start_date IS NOT NULL AND end_date IS NOT NULL
"""
"""Whatever ran and ended. Of a task with several tries it is the last one, and of one that was deferred what
came after: Airflow keeps its first start, but the last time that it was queued."""

Row = tuple[str, float, float]
"""Queue, moment of queueing (seconds since the epoch), seconds that it ran."""


@dataclass(slots=True)
class Tasks:
    """Task instances of one queue or pool: two arrays of the same length."""

    queued_at: array[float] = field(default_factory=lambda: array("d"))
    """Rising; seconds since the epoch."""
    seconds: array[float] = field(default_factory=lambda: array("d"))
    """How long each ran."""

    def __len__(self) -> int:
        return len(self.queued_at)

    def sort(self) -> None:
        """By the moment of queueing; nothing to do for what is in order already."""
        if all(first <= second for first, second in pairwise(self.queued_at)):
            return
        order = sorted(range(len(self.queued_at)), key=self.queued_at.__getitem__)
        self.queued_at = array("d", map(self.queued_at.__getitem__, order))
        self.seconds = array("d", map(self.seconds.__getitem__, order))


@dataclass(frozen=True)
class History:
    """Task instances by queue."""

    queues: Mapping[str, Tasks]

    def __len__(self) -> int:
        return sum(map(len, self.queues.values()))

    def of(self, queues: Iterable[str]) -> Tasks:
        """Those of several queues together, in order."""
        found = [self.queues[queue] for queue in queues if queue in self.queues]
        if len(found) == 1:
            return found[0]
        together = Tasks()
        for each in found:
            together.queued_at.extend(each.queued_at)
            together.seconds.extend(each.seconds)
        together.sort()
        return together


def collect(rows: Iterable[Row]) -> History:
    """The history of these rows. RefusedError where there are none."""
    queues: dict[str, Tasks] = {}
    for queue, queued_at, seconds in rows:
        tasks = queues.get(queue)
        if tasks is None:
            tasks = queues[queue] = Tasks()
        tasks.queued_at.append(queued_at)
        tasks.seconds.append(seconds)
    if not queues:
        raise RefusedError(["the history has no task instances: nothing can be replayed"])
    for tasks in queues.values():
        tasks.sort()
    return History(queues)


def read_csv(path: Path, since: float = FIRST) -> History:
    """The history in a CSV file. RefusedError names line and column of what is wrong.

    :param since: leaves out what was queued before, in seconds since the epoch.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return collect(_rows(path, file, since))
    except OSError as error:
        raise RefusedError([f"{path}: cannot be read ({error.strerror}): correct --history"]) from None
    except UnicodeDecodeError as error:
        raise RefusedError([f"{path}: no UTF-8 ({error.reason}): save the file as UTF-8"]) from None


def read_database(connection: Connection, since: float = FIRST) -> History:
    """The history in a metadata database. Its rows come by a cursor of the server's, so that neither side
    ever holds them all.

    :param connection: in autocommit; nothing is written.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        with connection.cursor(name="airkiln_history") as cursor:
            cursor.itersize = FETCHED
            cursor.execute(QUERY, (since,))
            return collect((queue, queued_at, seconds) for queue, queued_at, seconds in cursor)


def moment(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time, or of such a number. ValueError otherwise."""
    try:
        value = float(text)
    except ValueError:
        found = datetime.fromisoformat(text)
        value = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    if not FIRST <= value < LAST:
        raise ValueError
    return value


def _rows(path: Path, file: Iterable[str], since: float) -> Iterator[Row]:
    """The values of each line. The first problems are reported together, at the end."""
    lines = csv.reader(file)
    problems: list[str] = []
    try:
        header = _header(path, next(lines, []))
        queue_at, queued_at_at, seconds_at = (header.index(name) for name in COLUMNS)
        for line in lines:
            if not line:
                continue
            try:
                queue = line[queue_at]
                text = line[queued_at_at]
                seconds = float(line[seconds_at])
                queued_at = moment(text)
                fits = 0.0 <= seconds <= LONGEST and bool(queue)
            except (ValueError, IndexError, OverflowError):
                fits = False
            if fits:
                if queued_at >= since:
                    yield queue, queued_at, seconds
                continue
            problems += _why(path, lines.line_num, header, line)
            if len(problems) >= PROBLEMS_SHOWN:
                problems.append(f"{path}: further lines were not read")
                break
    except csv.Error as error:
        problems.append(f"{path}: line {lines.line_num}: no CSV ({error})")
    if problems:
        raise RefusedError(problems)


def _header(path: Path, line: list[str]) -> list[str]:
    """The columns' names, with all that are needed."""
    header = [name.strip() for name in line]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise RefusedError(
            [
                f"{path}: line 1: has no column {', '.join(missing)}: the first line must name the columns "
                f"{', '.join(COLUMNS)}"
            ]
        )
    return header


def _why(path: Path, number: int, header: list[str], line: list[str]) -> Iterator[str]:
    """What is wrong with a line, a problem a column."""
    values = dict(zip(header, line, strict=False))
    for name in COLUMNS:
        where = f"{path}: line {number}, column {name}"
        if name not in values:
            yield f"{where}: missing: the line has {len(line)} of {len(header)} columns"
        elif name == QUEUE and not values[name]:
            yield f"{where}: empty: name the queue"
        elif name == QUEUED_AT and not _is_moment(values[name]):
            yield f"{where}: must be a time such as 2026-11-21T07:30:00Z, or seconds since 1970"
        elif name == SECONDS and not _is_duration(values[name]):
            yield f"{where}: must be a number of seconds from 0 to {LONGEST:.0f}"


def _is_moment(text: str) -> bool:
    try:
        moment(text)
    except (ValueError, OverflowError):
        return False
    return True


def _is_duration(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= LONGEST
    except ValueError:
        return False
