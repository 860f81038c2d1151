"""The pure parts of `benchmarks.boot` and `benchmarks.health`."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import boot, health
from rehearsal.errors import RehearsalError

READY = "2026-11-21T03:14:01.696173Z [info     ] celery@ip-10-42-1-3 ready.     [celery.apps.worker]"


@pytest.mark.parametrize("line", [READY, "[... INFO/MainProcess] celery@host ready."])
def test_the_worker_is_ready_when_celery_says_so(line: str) -> None:
    assert health.is_ready_line(line)


@pytest.mark.parametrize("line", ["", "celery@host v5.6.2", "celery@host readying. Wait", "triggerer ready."])
def test_other_lines_do_not_make_a_worker_ready(line: str) -> None:
    assert not health.is_ready_line(line)


def test_the_journal_tells_when_the_worker_was_ready() -> None:
    entries = [
        json.dumps({"MESSAGE": "celery@host v5", "__MONOTONIC_TIMESTAMP": "1000000"}),
        json.dumps({"MESSAGE": [27, 91], "__MONOTONIC_TIMESTAMP": "1500000"}),  # a line that is not text
        json.dumps({"MESSAGE": READY, "__MONOTONIC_TIMESTAMP": "2500000"}),
    ]
    assert health.ready_entry(entries[:2]) is None
    found = health.ready_entry(entries)
    assert found is not None
    assert found["__MONOTONIC_TIMESTAMP"] == "2500000"


def test_a_worker_started_by_hand_is_ready_once_its_output_says_so(tmp_path: Path) -> None:
    log = tmp_path / "bare-worker.log"
    check = health.worker_in_output(log)
    assert check() is None
    log.write_text("celery@host v5\n")
    assert check() is None
    log.write_text(f"celery@host v5\n{READY}\n")
    assert check() is not None


def test_each_check_has_its_own_time() -> None:
    begun = time.monotonic()
    later = iter([None, None, begun + 2.0])
    assert health.watch({"a": lambda: begun + 1.0, "b": lambda: next(later)}, {"b": 0.0}, begun) == {
        "a": pytest.approx(1.0),
        "b": pytest.approx(2.0),
    }


def test_what_never_becomes_healthy_is_named() -> None:
    long_ago = time.monotonic() - health.LIMIT - 1
    with pytest.raises(RehearsalError, match="until the triggerer is healthy"):
        health.watch({"triggerer": lambda: None}, {}, long_ago)


def test_a_web_server_is_healthy_only_with_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    with _web_server({"metadatabase": {"status": "unhealthy"}}) as port:
        monkeypatch.setattr(health, "WEB_PORT", port)
        assert health.web_server("127.0.0.1")() is None
    assert health.web_server("127.0.0.1")() is None, "nobody listens any more"
    with _web_server({"metadatabase": {"status": "healthy"}}) as port:
        monkeypatch.setattr(health, "WEB_PORT", port)
        assert health.web_server("127.0.0.1")() is not None


def test_all_runs_what_the_other_roles_run_and_every_component_has_a_unit() -> None:
    alone = [name for role in ("webserver", "scheduler", "worker") for name in boot.COMPONENTS[role]]
    assert list(boot.COMPONENTS["all"]) == alone
    assert set(boot.UNITS) == set(alone)
    assert set(health.JOBS) == set(boot.COMPONENTS["scheduler"])


def test_a_roles_budget_is_its_bare_command_and_three_seconds_and_alls_is_fixed() -> None:
    samples = boot.Samples()
    for seconds in (7.0, 5.0, 6.0):
        samples.add("webserver", boot.AIRKILN, seconds + 2)
        samples.add("webserver", boot.BARE, seconds)
    samples.add("webserver_role_known", boot.AIRKILN, 2.0)
    samples.add("all", boot.AIRKILN, 14.0)
    assert [row.figure for row in samples.figures()] == [
        "webserver",
        "webserver",
        "all",
        "webserver_role_known",
    ]
    budgets = {(row.figure, row.subject): row.budget for row in samples.figures()}
    assert budgets == {
        ("webserver", boot.AIRKILN): 9.0,
        ("webserver", boot.BARE): None,
        ("webserver_role_known", boot.AIRKILN): None,
        ("all", boot.AIRKILN): 16.0,
    }


def test_a_timeline_is_in_order_of_time() -> None:
    assert boot.timeline({"web server": 12.0, "systemd": 0.25}).splitlines() == [
        "     0.25 s  systemd",
        "    12.00 s  web server",
    ]


@contextmanager
def _web_server(answer: object) -> Iterator[int]:
    """A server on 127.0.0.1 that gives this answer to everything; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Nothing: the test's output is the test's."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
