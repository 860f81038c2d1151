"""The hosts that a word names."""

from __future__ import annotations

import os

import pytest

from rehearsal.commands import hosts
from rehearsal.commands.hosts import Host, chosen
from rehearsal.errors import RehearsalError
from rehearsal.region import Region

SCHEDULERS = [Host("i-0aa1", "scheduler"), Host("i-0bb1", "scheduler")]
WEB = Host("i-0cc2", "webserver")
DATABASE = Host("postgres", "database")
ALL = [DATABASE, *SCHEDULERS, WEB]


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("scheduler", SCHEDULERS),
        ("webserver", [WEB]),
        ("database", [DATABASE]),
        ("postgres", [DATABASE]),
        ("i-0bb1", SCHEDULERS[1:]),
        ("cc2", [WEB]),
    ],
)
def test_a_role_names_all_of_it_and_an_instance_itself(word: str, named: list[Host]) -> None:
    assert chosen(ALL, word) == named


@pytest.mark.parametrize(("word", "number"), [("1", 2), ("worker", 0), ("", 0)])
def test_a_word_that_names_none_or_several_is_refused_with_those_there_are(word: str, number: int) -> None:
    with pytest.raises(RehearsalError, match=f"names {number} machines") as refused:
        chosen(ALL, word)
    assert "postgres (database), i-0aa1 (scheduler)" in str(refused.value)


def test_a_shell_without_a_host_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "running", lambda _: ALL)
    with pytest.raises(RehearsalError) as refused:
        hosts.shell(Region("unit"), "")
    assert "`make rehearse-shell HOST=webserver AIRKILN_REHEARSAL=unit`" in str(refused.value)
    assert "i-0cc2 (webserver)" in str(refused.value)


def test_where_nothing_runs_the_command_that_starts_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(hosts, "machines", lambda _: [])
    with pytest.raises(RehearsalError, match="`make rehearse AIRKILN_REHEARSAL=unit`"):
        hosts.running(Region("unit"))
