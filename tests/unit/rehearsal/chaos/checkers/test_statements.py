"""The check of PostgreSQL's log: it finds what must not happen, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from rehearsal.chaos.checkers.statements import CONTROLLER, Entry, check, fences, kind, parse

OLD, NEW = "airflow_scheduler_1", "airflow_scheduler_2"
WRITE = "UPDATE task_instance SET state='queued'"
FENCE = "SELECT airkiln.fence($1)"


class Log:
    """Entries a tenth of a second apart."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._ticks: Iterator[int] = count()

    def says(
        self, user: str, message: str, *, severity: str = "LOG", session: str = "", failed: str = ""
    ) -> Log:
        tick = next(self._ticks)
        self.entries.append(Entry(tick / 10, user, session or user, tick, severity, message, failed=failed))
        return self

    def runs(self, user: str, sql: str, *, session: str = "") -> Log:
        return self.says(user, f"statement: {sql}", session=session)

    def takeover(self) -> Log:
        return self.runs(OLD, WRITE).runs(OLD, "COMMIT").runs(CONTROLLER, FENCE).runs(CONTROLLER, FENCE)

    def findings(self) -> list[tuple[str, int, int]]:
        return [(found.what, found.epoch, found.newer) for found in check(self.entries).findings]


def test_an_orderly_takeover_has_no_findings() -> None:
    log = Log().takeover().runs(NEW, WRITE).runs(NEW, "COMMIT")
    report = check(log.entries)
    assert report.findings == []
    assert (report.statements, report.writes) == (4, 2)


def test_a_write_of_the_old_epoch_after_the_new_ones_first_statement_is_found() -> None:
    log = Log().takeover().runs(NEW, "SELECT 1").runs(OLD, WRITE)
    assert log.findings() == [("write", 1, 2)]


def test_the_fence_counts_from_its_last_call_and_not_from_the_first_statement_after_it() -> None:
    log = Log().takeover().runs(OLD, WRITE).runs(NEW, "SELECT 1")
    assert log.findings() == [("write", 1, 2)]


def test_a_write_between_two_calls_of_the_fence_is_no_finding() -> None:
    log = Log().runs(CONTROLLER, FENCE).runs(OLD, WRITE).runs(OLD, "COMMIT").runs(CONTROLLER, FENCE)
    assert log.runs(NEW, "SELECT 1").findings() == []


def test_rows_locked_for_writing_are_found() -> None:
    log = Log().takeover().runs(NEW, "SELECT 1").runs(OLD, "SELECT * FROM slot_pool FOR UPDATE NOWAIT")
    assert log.findings() == [("lock", 1, 2)]


def test_a_commit_of_what_was_written_before_the_fence_is_found() -> None:
    log = Log().runs(OLD, WRITE).runs(CONTROLLER, FENCE).runs(NEW, "SELECT 1").runs(OLD, "COMMIT")
    assert log.findings() == [("commit", 1, 2)]


def test_a_commit_of_what_was_only_read_is_no_finding() -> None:
    log = Log().runs(OLD, "SELECT 1").runs(CONTROLLER, FENCE).runs(NEW, "SELECT 1").runs(OLD, "COMMIT")
    assert log.findings() == []


def test_what_the_database_refused_was_not_written() -> None:
    log = Log().takeover().runs(NEW, "SELECT 1").runs(OLD, WRITE)
    log.says(OLD, "permission denied for table task_instance", severity="ERROR", failed=WRITE)
    assert log.findings() == []
    assert check(log.entries).refused == 1


def test_a_statement_that_was_cut_off_under_way_was_not_written() -> None:
    log = Log().takeover().runs(NEW, "SELECT 1").runs(OLD, WRITE)
    log.says(OLD, "terminating connection due to administrator command", severity="FATAL", failed=WRITE)
    assert log.findings() == []


@pytest.mark.parametrize(
    ("severity", "failed"),
    [("FATAL", ""), ("ERROR", "SELECT 2"), ("FATAL", "COMMIT")],
    ids=["its session is ended", "the next statement fails", "its commit is cut off"],
)
def test_a_write_that_succeeded_is_found_whatever_fails_after_it(severity: str, failed: str) -> None:
    log = Log().takeover().runs(NEW, "SELECT 1").runs(OLD, WRITE)
    log.says(OLD, "whatever it is", severity=severity, failed=failed)
    assert log.findings() == [("write", 1, 2)]


def test_a_commented_statement_is_known_again_in_its_error() -> None:
    sql = f"/* scheduler */ {WRITE}"
    log = Log().takeover().runs(NEW, "SELECT 1").runs(OLD, sql)
    log.says(OLD, "permission denied", severity="ERROR", failed=sql)
    assert log.findings() == []


def test_a_refused_login_is_counted() -> None:
    log = Log().takeover().runs(NEW, "SELECT 1")
    log.says(OLD, 'role "airflow_scheduler_1" is not permitted to log in', severity="FATAL")
    assert check(log.entries).refused == 1


def test_an_epoch_that_begins_after_a_newer_one_is_found() -> None:
    log = Log().runs(CONTROLLER, FENCE).runs(NEW, "SELECT 1").runs(OLD, "SELECT 1")
    assert log.findings() == [("first statement", 1, 2)]


def test_across_two_takeovers_the_newest_epoch_counts() -> None:
    log = Log().takeover().runs(NEW, WRITE).runs(CONTROLLER, FENCE)
    log.runs("airflow_scheduler_3", "SELECT 1").runs(OLD, WRITE).runs(NEW, WRITE)
    assert log.findings() == [("write", 1, 3), ("write", 2, 3)]


def test_a_scheduler_without_an_epoch_is_found_unless_there_is_no_controller() -> None:
    log = Log().runs("airflow", "UPDATE task_instance SET state=$1, queued_by_job_id=$2 WHERE id = $3")
    assert log.findings() == [("queueing by airflow", 0, 0)]
    assert check(log.entries, unfenced_may_queue=True).findings == []


def test_other_roles_may_write_at_any_time() -> None:
    log = Log().takeover().runs(NEW, "SELECT 1").runs("airflow", "UPDATE trigger SET triggerer_id=$1")
    assert log.findings() == []


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO log VALUES ($1)", "write"),
        ("  with x as (select 1) update t set a = 1", "write"),
        ("COPY log FROM STDIN", "write"),
        ("COPY log TO STDOUT", "read"),
        ("SELECT updated_at FROM t", "read"),
        ("SELECT 1 FROM t FOR NO KEY UPDATE SKIP LOCKED", "lock"),
        ("SELECT pg_try_advisory_xact_lock($1)", "lock"),
        ("COMMIT", "commit"),
        ("ROLLBACK", "rollback"),
        ("BEGIN", "read"),
    ],
)
def test_a_statement_is_known_by_its_words(sql: str, expected: str) -> None:
    assert kind(sql) == expected


def test_a_fence_takes_from_acquire_to_adopt() -> None:
    log = Log().runs(CONTROLLER, "SELECT airkiln.acquire($1)").runs(CONTROLLER, FENCE)
    log.runs(CONTROLLER, "SELECT airkiln.adopt($1)")
    assert list(fences(log.entries).values()) == [pytest.approx(0.2)]


def test_the_log_of_postgresql_is_read() -> None:
    record = {
        "timestamp": "2026-11-21 05:14:59.250 UTC",
        "user": OLD,
        "session_id": "6b0128d3.110",
        "line_num": 4,
        "error_severity": "LOG",
        "message": "execute <unnamed>: /* scheduler */ UPDATE job\nSET state=$1",
        "remote_host": "10.42.1.4",
        "statement": "UPDATE job ",
    }
    server = {"timestamp": "2026-11-21 05:14:59.251 UTC", "message": "checkpoint complete"}
    (entry,) = parse([record, server])
    assert (entry.at, entry.epoch, entry.host) == (1795238099.25, 1, "10.42.1.4")
    assert entry.statement == "UPDATE job\nSET state=$1"
    assert entry.failed == "UPDATE job"
