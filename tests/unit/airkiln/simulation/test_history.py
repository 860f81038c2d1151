"""Histories: what is read, and what is refused by line and column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from airkiln.database.connect import Connection
from airkiln.errors import RefusedError
from airkiln.simulation.history import PROBLEMS_SHOWN, QUERY, History, collect, read_csv, read_database

HEADER = "queue,queued_at,seconds\n"


def read(folder: Path, text: str, since: float = 0.0) -> History:
    path = folder / "history.csv"
    path.write_text(text, encoding="utf-8")
    return read_csv(path, since)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(RefusedError) as refused:
        read(folder, text)
    return [problem.removeprefix(f"{folder}/history.csv: ") for problem in refused.value.problems]


def test_times_are_iso_or_seconds_and_utc(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        HEADER
        + "a,2026-06-08T00:00:00Z,1\na,2026-06-08T02:00:01+02:00,2\n"
        + "a,2026-06-08 00:00:02,3\na,1780876803.5,4\n",
    )
    assert list(found.queues["a"].queued_at) == [1780876800, 1780876801, 1780876802, 1780876803.5]
    assert list(found.queues["a"].seconds) == [1, 2, 3, 4]


def test_columns_may_stand_in_any_order_and_beside_others(tmp_path: Path) -> None:
    found = read(tmp_path, "\ufeffdag,seconds, queue,queued_at\nx,5,a,10\n\n")
    assert (list(found.queues["a"].queued_at), list(found.queues["a"].seconds)) == ([10], [5])


def test_lines_are_put_in_order(tmp_path: Path) -> None:
    tasks = read(tmp_path, HEADER + "a,30,3\na,10,1\na,20,2\n").queues["a"]
    assert (list(tasks.queued_at), list(tasks.seconds)) == ([10, 20, 30], [1, 2, 3])


def test_queues_of_a_pool_are_one_line_of_tasks() -> None:
    found = collect([("a", 10.0, 1.0), ("b", 5.0, 2.0), ("c", 1.0, 9.0), ("a", 30.0, 3.0)])
    both = found.of(("a", "b", "none"))
    assert (list(both.queued_at), list(both.seconds)) == ([5, 10, 30], [2, 1, 3])
    assert (len(found), len(found.of(("none",)))) == (4, 0)


def test_what_was_queued_before_is_left_out(tmp_path: Path) -> None:
    assert list(read(tmp_path, HEADER + "a,10,1\na,20,1\n", since=20).queues["a"].queued_at) == [20]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (",10,1", "line 2, column queue: empty"),
        ("a,yesterday,1", "line 2, column queued_at: must be a time"),
        ("a,nan,1", "line 2, column queued_at: must be a time"),
        ("a,-1,1", "line 2, column queued_at: must be a time"),
        ("a,10,long", "line 2, column seconds: must be a number of seconds"),
        ("a,10,-1", "line 2, column seconds: must be a number of seconds"),
        ("a,10,inf", "line 2, column seconds: must be a number of seconds"),
        ("a,10", "line 2, column seconds: missing: the line has 2 of 3 columns"),
        ('"a\nb",10,x', "line 3, column seconds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, problem: str) -> None:
    (found,) = problems(tmp_path, HEADER + line + "\n")
    assert found.startswith(problem)


def test_all_problems_of_a_line_and_of_several_are_told_but_not_without_end(tmp_path: Path) -> None:
    assert len(problems(tmp_path, HEADER + "a,1,1\n,x,y\na,1\n")) == 4
    many = problems(tmp_path, HEADER + "a,1,x\n" * 1000)
    assert len(many) == PROBLEMS_SHOWN + 1


@pytest.mark.parametrize("text", ["", "queue,seconds\n", "a,1,2\n"])
def test_a_file_without_the_header_is_refused(tmp_path: Path, text: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith("line 1: has no column")


def test_nothing_to_replay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no task instances"):
        read(tmp_path, HEADER)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="No such file"):
        read_csv(tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes(HEADER.encode() + b"\xe4,1,1\n")
    with pytest.raises(RefusedError, match="no UTF-8"):
        read_csv(path)


class FakeDatabase:
    """A connection that keeps what it was asked."""

    def __init__(self, rows: list[tuple[str, float, float]]) -> None:
        self.rows, self.asked = rows, cast("list[object]", [])
        self.itersize = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.asked.append("BEGIN")
        yield
        self.asked.append("COMMIT")

    def execute(self, query: str, values: tuple[Any, ...] = ()) -> None:
        self.asked.append((query, values) if values else query)

    @contextmanager
    def cursor(self, name: str) -> Iterator[FakeDatabase]:
        assert name  # the server's
        yield self

    def __iter__(self) -> Iterator[tuple[str, float, float]]:
        return iter(self.rows)


def test_a_database_is_read_in_one_transaction_that_writes_nothing() -> None:
    database = FakeDatabase([("b", 20.0, 1.0), ("b", 10.0, 2.0)])
    found = read_database(cast(Connection, database), since=5.0)
    assert list(found.queues["b"].queued_at) == [10, 20]
    assert database.asked == ["BEGIN", "SET TRANSACTION READ ONLY", (QUERY, (5.0,)), "COMMIT"]
    assert database.itersize > 1
