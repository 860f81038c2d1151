"""The controller's limits: what is refused, and that every refusal is a sentence."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from airkiln.errors import REFUSED, RefusedError
from airkiln.failover.config import Timings, load


def test_the_defaults_contradict_nothing() -> None:
    assert Timings().problems() == []


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path / "failover.toml") == Timings()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "failover.toml"
    path.write_text("ttl = 8\ndeadline = 4.0\nmargin = 2\n")
    assert load(path) == replace(Timings(), ttl=8.0, deadline=4.0, margin=2.0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"deadline": 2.7}, "deadline + kill + margin is 4.1 s"),
        ({"kill": 1.0}, "deadline + kill + margin"),
        ({"margin": 0.5}, "margin is 0.5 s"),
        ({"limit": 1.1}, "renew + 2 x limit"),
        ({"patience": 0.9}, "patience is 0.9 s"),
        ({"poll": 2.5}, "poll is 2.5 s"),
        ({"poll": 0.1}, "three statements"),
        ({"renew": 0.2}, "three statements"),
        ({"watchdog": 1.2}, "watchdog is 1.2 s"),
        ({"watchdog": 5.0}, "watchdog is 5 s, more than ttl"),
        ({"stopped": 9.0}, "stopped is 9 s"),
        ({"heartbeat": 5.0}, "two heartbeats of 5 s"),
        ({"foreign": 12.0}, "foreign is 12 s"),
        ({"yielding": 0.5}, "yielding is 0.5 s"),
    ],
)
def test_limits_that_contradict_are_refused_in_a_sentence(changes: dict[str, float], named: str) -> None:
    found = replace(Timings(), **changes).problems()
    assert any(named in sentence for sentence in found)
    assert all(sentence.endswith(".") for sentence in found)


@pytest.mark.parametrize("name", [field.name for field in fields(Timings)])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_no_limit_is_nothing_or_without_end(name: str, value: float) -> None:
    assert any(name in sentence for sentence in replace(Timings(), **{name: value}).problems())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ttl = ", "cannot be read as TOML"),
        ("tll = 4", "unknown key 'tll'"),
        ('ttl = "4"', "ttl is no number"),
        ("ttl = true", "ttl is no number"),
        ("deadline = 3.5", "deadline + kill + margin"),
    ],
)
def test_a_file_that_cannot_be_followed_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "failover.toml"
    path.write_text(text)
    with pytest.raises(RefusedError) as refused:
        load(path)
    assert named in str(refused.value)
    assert str(path) in str(refused.value)
    assert refused.value.exit_code == REFUSED
