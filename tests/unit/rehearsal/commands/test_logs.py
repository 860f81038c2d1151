"""The journals of several hosts as one."""

from __future__ import annotations

import io

import pytest

from rehearsal.commands import logs
from rehearsal.commands.hosts import Host
from rehearsal.region import Region

WEB = Host("i-0cc2", "webserver")
WORKER = Host("i-0dd3", "worker")
DATABASE = Host("postgres", "database")
JOURNALS = {
    WEB: "of an entry before\n"
    "2026-11-26T12:00:01.000000+00:00 airflow-webserver[9]: first\n"
    "2026-11-26T12:00:03.000000+00:00 airflow-webserver[9]: third\n"
    "                                  and its second line\n",
    WORKER: "2026-11-26T12:00:02.000000+00:00 airflow-worker[7]: second\n",
    DATABASE: "2026-11-26 12:00:02.500 UTC [5] LOG:  between\n",
}


def test_entries_are_in_the_order_of_time_behind_their_hosts_and_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "running", lambda _: list(JOURNALS))
    monkeypatch.setattr(logs, "_read", lambda _, host, __: JOURNALS[host])
    out = io.StringIO()
    assert logs.logs(Region("unit"), "", out=out) == 0
    said = [(line.split()[0], line.split()[-1]) for line in out.getvalue().splitlines()]
    assert said == [
        ("i-0cc2", "first"),
        ("i-0dd3", "second"),
        ("postgres", "between"),
        ("i-0cc2", "third"),
        ("i-0cc2", "line"),
    ]


def test_a_role_shows_its_own_hosts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "running", lambda _: list(JOURNALS))
    monkeypatch.setattr(logs, "_read", lambda _, host, __: JOURNALS[host])
    out = io.StringIO()
    logs.logs(Region("unit"), "worker", out=out)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["i-0dd3"]


def test_an_instance_shows_our_units_and_the_databases_server_its_own_log() -> None:
    assert {"--unit=airkiln-*", "--unit=airflow-*"} <= set(logs.command(WEB, 5))
    assert logs.command(DATABASE, 5, "--follow") == ["tail", "--lines=5", "--follow", logs.SERVER_LOG]
    step = Host("i-0ee4", "database")
    assert logs.command(step, 5)[0] == "journalctl"
