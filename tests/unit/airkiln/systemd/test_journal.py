"""Lines for the journal: failures that repeat are said once in a while."""

from __future__ import annotations

import pytest

from airkiln.systemd.journal import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_kind_is_said_once_in_its_interval(capfd: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    limit = RateLimit(60.0, clock)
    assert limit.say("a", "first")
    assert not limit.say("a", "second")
    assert limit.say("b", "another kind")
    clock.now = 59.9
    assert not limit.say("a", "third")
    clock.now = 60.0
    assert limit.say("a", "fourth")
    assert capfd.readouterr().err.split("\n") == ["first", "another kind", "fourth", ""]
