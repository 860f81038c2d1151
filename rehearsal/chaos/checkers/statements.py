"""Whether two schedulers ever wrote at once: a verdict from PostgreSQL's own log of every statement.

A scheduler logs in as ``airflow_scheduler_<epoch>``, so the log says of each statement which epoch made it.
Epoch N is fenced in from the moment of the last ``airkiln.fence`` call before its first statement (the one
before that call had found no session left), or from that first statement if the log has no such call. From
then on no older epoch may write, lock rows for writing, or commit what it wrote before.

Pure: entries of ``log_destination = jsonlog`` in, findings out. Only time stamps of the one database server
are compared, so that no host's clock plays a part.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

ROLE = re.compile(r"airflow_scheduler_(\d+)")
CONTROLLER = "airkiln_controller"
_STATEMENT = re.compile(r"(?:statement|execute [^:]+): (.*)", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_WRITE = re.compile(
    r"(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|CREATE|ALTER|DROP|GRANT|REVOKE|COPY\b.*\bFROM)\b", re.S
)
_WITH_WRITE = re.compile(r"WITH\b.*\b(INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|MERGE\s+INTO)\b", re.S)
_LOCK = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE|KEY\s+SHARE)\b|^LOCK\b|PG_(TRY_)?ADVISORY")
_CALL = re.compile(r"airkiln\.(\w+)\s*\(", re.IGNORECASE)
_QUEUES = re.compile(r"UPDATE\s+task_instance\s+SET\b.*\bqueued_by_job_id\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One line of the log, as far as it matters here."""

    at: float
    """Seconds since 1970 on the database's clock, to the millisecond."""
    user: str
    session: str
    line: int
    severity: str
    message: str
    host: str = ""

    @property
    def statement(self) -> str | None:
        """The SQL that is about to run, without comments; None if the entry tells something else."""
        found = _STATEMENT.match(self.message) if self.severity == "LOG" else None
        return _COMMENT.sub(" ", found[1]).strip() if found else None

    @property
    def epoch(self) -> int | None:
        """The epoch whose role this is; None for every other role."""
        found = ROLE.fullmatch(self.user)
        return int(found[1]) if found else None

    @property
    def call(self) -> str | None:
        """Which of the lease's functions is called, without its schema."""
        found = _CALL.search(self.statement or "")
        return found[1] if found else None


@dataclass(frozen=True)
class Finding:
    """A statement that must not have been."""

    what: str
    epoch: int
    """Whose role it was; 0 for a role that no epoch has."""
    newer: int
    """The newest epoch that was fenced in by then."""
    late: float
    """Seconds after that."""
    statement: str

    def __str__(self) -> str:
        return (
            f"{self.what} by epoch {self.epoch}, {self.late:.3f} s after {self.newer}: {self.statement[:200]}"
        )


@dataclass
class Verdict:
    """What the log says."""

    findings: list[Finding] = field(default_factory=list)
    fenced: dict[int, float] = field(default_factory=dict)
    """When each epoch that ever spoke was fenced in."""
    statements: int = 0
    """Statements of schedulers that were looked at. A verdict on none is none."""
    writes: int = 0
    refused: int = 0
    """What an old epoch tried too late and PostgreSQL did not do, logins included."""


def parse(records: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The entries of clients, from the JSON objects of the log, in the order of their time."""
    found = [
        Entry(
            at=moment(record["timestamp"]),
            user=str(record["user"]),
            session=str(record.get("session_id", "")),
            line=int(record.get("line_num", 0)),
            severity=str(record.get("error_severity", "")),
            message=str(record.get("message", "")),
            host=str(record.get("remote_host", "")),
        )
        for record in records
        if record.get("user")
    ]
    return sorted(found, key=lambda entry: (entry.at, entry.session, entry.line))


def kind(statement: str) -> str:
    """``write``, ``lock`` (which only a writer takes), ``commit``, ``rollback`` or ``read``."""
    upper = statement.upper().lstrip("( \n\t")
    if _WRITE.match(upper) or _WITH_WRITE.match(upper):
        return "write"
    if _LOCK.search(upper):
        return "lock"
    if upper.startswith(("COMMIT", "END")):
        return "commit"
    return "rollback" if upper.startswith(("ROLLBACK", "ABORT")) else "read"


def check(entries: Iterable[Entry], *, unfenced_may_queue: bool = False) -> Verdict:
    """The verdict on a log.

    :param unfenced_may_queue: a scheduler may use a role without an epoch, as where no controller runs.
    """
    ordered = list(entries)
    verdict = Verdict(fenced=_fenced(ordered))
    refused = _refused(ordered)
    pending: dict[str, bool] = defaultdict(bool)
    coming = sorted((at, epoch) for epoch, at in verdict.fenced.items())
    newest = 0
    for entry in ordered:
        while coming and coming[0][0] < entry.at:
            newest = max(newest, coming.pop(0)[1])
        epoch, statement = entry.epoch, entry.statement
        if epoch is None:
            if statement and not unfenced_may_queue and _QUEUES.search(statement):
                late = entry.at - verdict.fenced.get(newest, entry.at)
                verdict.findings.append(Finding(f"queueing by {entry.user}", 0, newest, late, statement))
            continue
        old = epoch < newest
        if statement is None:
            verdict.refused += old and entry.severity in ("ERROR", "FATAL")
            continue
        verdict.statements += 1
        what = kind(statement)
        verdict.writes += what == "write"
        wrote = pending[entry.session]
        done = (entry.session, entry.line) not in refused
        if old and done and (what in ("write", "lock") or (what == "commit" and wrote)):
            late = entry.at - verdict.fenced[newest]
            verdict.findings.append(Finding(what, epoch, newest, late, statement))
        if what in ("commit", "rollback"):
            pending[entry.session] = False
        elif what == "write":
            pending[entry.session] = True
    verdict.findings += _disorder(ordered)
    return verdict


def fences(entries: Iterable[Entry]) -> dict[int, float]:
    """Seconds that each fence took: from `acquire` to `adopt`, which is called when no session is left.

    By the order of the calls of one controller's session; keyed by the time of `acquire` in milliseconds.
    """
    took: dict[int, float] = {}
    begun: dict[str, float] = {}
    for entry in entries:
        if entry.user != CONTROLLER:
            continue
        if entry.call == "acquire":
            begun[entry.session] = entry.at
        elif entry.call == "adopt" and entry.session in begun:
            start = begun.pop(entry.session)
            took[round(start * 1000)] = entry.at - start
    return took


def _fenced(entries: Iterable[Entry]) -> dict[int, float]:
    fenced: dict[int, float] = {}
    last_fence: float | None = None
    for entry in entries:
        if entry.user == CONTROLLER and entry.call == "fence":
            last_fence = entry.at
        epoch = entry.epoch
        if epoch is None or epoch in fenced or entry.statement is None:
            continue
        newest = max(fenced, default=0)
        usable = last_fence is not None and last_fence > fenced.get(newest, 0.0)
        fenced[epoch] = last_fence if usable and last_fence is not None and epoch > newest else entry.at
    return fenced


def _refused(entries: Iterable[Entry]) -> set[tuple[str, int]]:
    """Statements that PostgreSQL answered with an error, by session and line."""
    by_session: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_session[entry.session].append(entry)
    found = set()
    for session, told in by_session.items():
        told.sort(key=lambda entry: entry.line)
        for entry, following in pairwise(told):
            if entry.statement is not None and following.severity in ("ERROR", "FATAL"):
                found.add((session, entry.line))
    return found


def _disorder(entries: Iterable[Entry]) -> list[Finding]:
    """Epochs whose first statement comes after that of a newer one: their turn was over before it began."""
    found, newest, seen = [], 0, set[int]()
    for entry in entries:
        epoch = entry.epoch
        if epoch is None or entry.statement is None or epoch in seen:
            continue
        seen.add(epoch)
        if epoch < newest:
            found.append(Finding("first statement", epoch, newest, 0.0, entry.statement))
        newest = max(newest, epoch)
    return found


def moment(text: str) -> float:
    """Seconds since 1970 of `2026-11-21 05:14:59.250 UTC`, as the log has it with ``log_timezone = UTC``."""
    stamp = text.removesuffix(" UTC").removesuffix(" Etc/UTC")
    return datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
