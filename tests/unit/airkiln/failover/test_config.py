"""The controller's timings: what is refused, and that every refusal is a sentence."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import pytest
import yaml

from airkiln.errors import REFUSED, RefusedError
from airkiln.failover import commands
from airkiln.failover.config import HEARTBEAT, Timings, load
from airkiln.host.layout import Layout

ROLES = Path(__file__).parents[4] / "roles"


def test_the_defaults_contradict_nothing() -> None:
    assert Timings().problems() == []


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path / "failover.toml") == Timings()


@pytest.mark.parametrize(("poll", "call", "fresh"), [(1.0, 0.75, 3.0), (1.0, 1.0, 3.0), (4.0, 1.0, 9.0)])
def test_a_host_counts_as_present_while_two_of_its_polls_may_be_late(
    poll: float, call: float, fresh: float
) -> None:
    assert Timings(poll_interval=poll, call_timeout=call).fresh_for == fresh


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "failover.toml"
    path.write_text("lease_ttl = 8\nself_fence_deadline = 4.0\nclock_margin = 2\n")
    assert load(path) == replace(Timings(), lease_ttl=8.0, self_fence_deadline=4.0, clock_margin=2.0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"self_fence_deadline": 2.7}, "self_fence_deadline + kill_timeout + clock_margin is 4.1 s"),
        ({"kill_timeout": 1.0}, "self_fence_deadline + kill_timeout + clock_margin"),
        ({"clock_margin": 0.5}, "clock_margin is 0.5 s"),
        ({"call_timeout": 1.1}, "renew_interval + 2 x call_timeout"),
        ({"poll_timeout_max": 0.9}, "poll_timeout_max is 0.9 s"),
        ({"poll_interval": 2.5}, "poll_interval is 2.5 s"),
        ({"poll_interval": 0.1}, "three statements"),
        ({"renew_interval": 0.2}, "three statements"),
        ({"watchdog_timeout": 1.2}, "watchdog_timeout is 1.2 s"),
        ({"watchdog_timeout": 5.0}, "watchdog_timeout is 5 s, more than lease_ttl"),
        ({"stopped_timeout": 9.0}, "stopped_timeout is 9 s"),
        ({"scheduler_heartbeat": 5.0}, "two heartbeats of 5 s"),
        ({"hung_timeout": 19.9}, "hung_timeout is 19.9 s, less than twice stuck_timeout"),
        ({"broker_timeout": 23.9}, "broker_timeout is 23.9 s, and another host takes 12 s"),
        ({"blocking_lock_timeout": 12.0}, "blocking_lock_timeout is 12 s"),
        ({"yield_time": 0.5}, "yield_time is 0.5 s"),
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
        ("lease_ttl = ", "cannot be read as TOML"),
        ("ttl = 4", "unknown key 'ttl'"),
        ('lease_ttl = "4"', "lease_ttl must be a number"),
        ("lease_ttl = true", "lease_ttl must be a number"),
        ("scheduler_heartbeat = 2", f"scheduler_heartbeat: remove it: it follows {HEARTBEAT}"),
        ("self_fence_deadline = 3.5", "self_fence_deadline + kill_timeout + clock_margin"),
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


def test_a_heartbeat_is_late_by_what_the_scheduler_itself_has(tmp_path: Path) -> None:
    path = tmp_path / "failover.toml"
    path.write_text("stuck_timeout = 60\nblocking_lock_timeout = 20\n")
    assert load(path, {HEARTBEAT: "30"}).scheduler_heartbeat == 30.0
    assert load(path, {HEARTBEAT: "2.5"}).scheduler_heartbeat == 2.5
    assert load(path, {}).scheduler_heartbeat == Timings().scheduler_heartbeat


def test_a_parameter_counts_and_not_the_images_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    layout.static_env.parent.mkdir(parents=True)
    layout.static_env.write_text(f'{HEARTBEAT}="1"\n')
    monkeypatch.setattr(commands, "load", partial(load, tmp_path / "failover.toml"))
    assert commands.timings_of(layout, {}).scheduler_heartbeat == 1.0
    assert commands.timings_of(layout, {HEARTBEAT: "3"}).scheduler_heartbeat == 3.0


@pytest.mark.parametrize("text", ["", " ", "2s", "1_6", "-2", "nan", "2 # slow", "0", "30", "2.", "1e1"])
def test_a_heartbeat_that_cannot_be_followed_is_refused_by_the_name_of_the_parameter(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(RefusedError, match=rf"{HEARTBEAT}|scheduler_heartbeat is 0 s"):
        load(tmp_path / "failover.toml", {HEARTBEAT: text})


def test_the_default_is_what_the_image_sets() -> None:
    defaults = yaml.safe_load((ROLES / "airflow/defaults/main.yml").read_text(encoding="utf-8"))
    (found,) = [each[HEARTBEAT] for each in defaults.values() if isinstance(each, dict) and HEARTBEAT in each]
    assert float(found) == Timings().scheduler_heartbeat
