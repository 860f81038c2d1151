"""The raw runs of the failover benchmark: one JSON line each, over as many invocations as it takes.

The lines are in build/failover/runs.jsonl. A run that went wrong has a line too, with the error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import checkpoint, results
from benchmarks.rehearsed import say
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.statements import Entry, check, fences, parse
from rehearsal.chaos.instrumentation import StatementLog
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.chaos.scenario import Outcome
from rehearsal.chaos.scenarios.registry import find
from rehearsal.errors import RehearsalError

RUNS = results.ROOT / "build" / "failover" / "runs.jsonl"
AIRKILN, PEER = "airkiln", "airflow, two schedulers"
GIVE_UP = 3
"""Runs in a row without a figure after which no more are tried."""
ADOPTION = "_adoption"
"""How the names of scenarios end that wait for the peer's adoption too."""


@dataclass
class Line:
    """One run."""

    subject: str
    fault: str
    """The scenario's name, without ADOPTION."""
    date: str
    commit: str
    image: str
    seconds: float | None = None
    adopted: float | None = None
    fences: list[float] = field(default_factory=list)
    """Seconds that each fence within the run took."""
    statements: int = 0
    """Statements of schedulers that were checked."""
    overlaps: list[str] = field(default_factory=list)
    """What the checker of statements found."""
    problems: list[str] = field(default_factory=list)
    """Task instances that were lost, run twice, or queued for too long."""
    error: str = ""
    """Why there is no figure."""


class Lines:
    """The file of runs."""

    def __init__(self, path: Path = RUNS) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Line]:
        return checkpoint.lines(self._path, Line)

    def add(self, line: Line) -> None:
        """Append a run."""
        checkpoint.add(line, self._path)

    def count(self, subject: str, fault: str, *, adopted: bool = False) -> int:
        """Number of runs that went to their end."""
        return sum(
            (line.subject, line.fault) == (subject, fault)
            and not line.error
            and (line.adopted is not None or not adopted)
            for line in self
        )


class Campaign:
    """Runs on one bench."""

    def __init__(self, bench: Bench, lines: Lines) -> None:
        self._bench = bench
        self._lines = lines
        self._subject = AIRKILN if bench.controllers else PEER
        self._log = StatementLog(bench.cluster.postgres)
        self._entries: deque[list[Entry]] = deque(maxlen=3)
        """Of the latest runs: a scheduler that was frozen may wake up after two takeovers."""

    def gather(self, name: str, runs: int) -> None:
        """Run a scenario until there are so many figures of it."""
        failures = 0
        fault, adoption = name.removesuffix(ADOPTION), name.endswith(ADOPTION)
        while (done := self._lines.count(self._subject, fault, adopted=adoption)) < runs:
            line = self.run(name)
            failures = failures + 1 if line.error else 0
            say(f"{name} {done + 1}/{runs}: {describe(line)}")
            if failures == GIVE_UP:
                say(f"{name}: given up after {GIVE_UP} failures in a row")
                return

    def run(self, name: str) -> Line:
        """Run a scenario once, check PostgreSQL's log, and append the line."""
        line = Line(
            subject=self._subject,
            fault=name.removesuffix(ADOPTION),
            date=checkpoint.now(),
            commit=results.commit(),
            image=self._bench.cluster.image,
        )
        outcome: Outcome | None = None
        try:
            outcome = find(name).run(self._bench)
        except (RehearsalError, psycopg.Error) as problem:
            line.error = str(problem)
            self._recover()
        if outcome is not None:
            line.seconds, line.problems = outcome.seconds, outcome.problems
            line.adopted = next(iter(outcome.figures.get("adopted", [])), None)
        self._check(line, outcome)
        self._lines.add(line)
        return line

    def _check(self, line: Line, outcome: Outcome | None) -> None:
        self._entries.append(parse(self._log.new()))
        report = check(
            (entry for entries in self._entries for entry in entries),
            unfenced_may_queue=self._subject == PEER,
        )
        line.statements = report.statements
        line.overlaps = [str(found) for found in report.findings]
        if outcome is not None:
            line.fences = [
                round(seconds, 4)
                for at, seconds in fences(self._entries[-1]).items()
                if at / 1000 >= outcome.began
            ]

    def _recover(self) -> None:
        """Get ready after a run that went wrong; its tasks are not checked."""
        self._bench.observer.runs.clear()
        with suppress(RehearsalError, psycopg.Error):
            wait_until_ready(self._bench.observer, controllers=self._bench.controllers)


def describe(line: Line) -> str:
    """A run in words."""
    parts = [line.error or ("no figure" if line.seconds is None else f"{line.seconds:.2f} s")]
    if line.adopted is not None:
        parts.append(f"adopted after {line.adopted:.0f} s")
    if line.fences:
        parts.append("fence " + ", ".join(f"{each * 1000:.0f} ms" for each in line.fences))
    return "; ".join([*parts, *line.overlaps, *line.problems])


def grouped(lines: Iterable[Line], value: str) -> dict[tuple[str, str], list[Any]]:
    """The values of one field, where there is one, by fault and subject."""
    found: dict[tuple[str, str], list[Any]] = {}
    for line in lines:
        if (each := getattr(line, value)) is not None:
            found.setdefault((line.fault, line.subject), []).append(each)
    return found
