"""The worker's generations as systemd prints them."""

from __future__ import annotations

import math

import pytest

from airkiln.errors import AirkilnError
from airkiln.lifecycle.model import Stage, Unit
from airkiln.lifecycle.units import PROPERTIES, Units, parse, span

SHOWN = """Id=airflow-worker@2.service
ActiveState=active
Result=success
ActiveExitTimestampMonotonic=0
InactiveExitTimestampMonotonic=90000000
StateChangeTimestampMonotonic=95000000
TimeoutStopUSec=12h

Id=airflow-worker@1.service
ActiveState=deactivating
Result=success
ActiveExitTimestampMonotonic=100000000
InactiveExitTimestampMonotonic=50000000
StateChangeTimestampMonotonic=100000000
TimeoutStopUSec=1d 30min
"""


def show(state: str, *, active_exit: int = 0, inactive_exit: int = 0, change: int = 0) -> Unit:
    text = (
        f"Id=airflow-worker@7.service\nActiveState={state}\nActiveExitTimestampMonotonic={active_exit}\n"
        f"InactiveExitTimestampMonotonic={inactive_exit}\nStateChangeTimestampMonotonic={change}\n"
        "TimeoutStopUSec=infinity\n"
    )
    (unit,) = parse(text, 0.0)
    return unit


def test_each_generation_has_its_stage_its_stop_and_its_limit() -> None:
    assert parse(SHOWN, 5.0) == (
        Unit(1, Stage.STOPPING, since=105.0, limit=88200.0),
        Unit(2, Stage.RUNNING, limit=43200.0),
    )


def test_no_generation_at_all_is_no_failure() -> None:
    assert parse("", 0.0) == parse("\n", 0.0) == ()


def test_another_unit_is_none_of_them() -> None:
    assert parse("Id=airflow-worker-logs.service\nActiveState=active\n", 0.0) == ()


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        ("active", Stage.RUNNING),
        ("activating", Stage.RUNNING),
        ("reloading", Stage.RUNNING),
        ("refreshing", Stage.RUNNING),
        ("maintenance", Stage.RUNNING),
        ("deactivating", Stage.STOPPING),
        ("inactive", Stage.ENDED),
        ("failed", Stage.ENDED),
    ],
)
def test_what_is_neither_ending_nor_over_takes_tasks(state: str, stage: Stage) -> None:
    assert show(state).stage is stage
    assert show(state).failed == (state == "failed")


def test_one_that_is_stopped_while_it_starts_began_to_stop_with_its_last_change() -> None:
    unit = show("deactivating", active_exit=10_000_000, inactive_exit=50_000_000, change=60_000_000)
    assert unit.since == 60.0
    assert show("deactivating", inactive_exit=50_000_000, change=60_000_000).since == 60.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12h", 43200),
        ("1min 30s", 90),
        ("1d 2h", 93600),
        ("500ms", 0.5),
        ("2w", 1209600),
        ("1month", 2629800),
        ("0", 0),
        ("infinity", math.inf),
    ],
)
def test_time_spans_are_read_as_systemd_writes_them(text: str, seconds: float) -> None:
    assert span(text) == pytest.approx(seconds)


class Systemctl:
    """systemctl that notes what it is asked."""

    def __init__(self, answer: str | Exception = "") -> None:
        self.answer = answer
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, *arguments: str) -> str:
        self.asked.append(arguments)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_one_observation_is_one_systemctl() -> None:
    asked = Systemctl(SHOWN)
    assert len(Units(asked).observe()) == 2
    assert asked.asked == [("show", "airflow-worker@*.service", f"--property={','.join(PROPERTIES)}")]


def test_stopping_waits_for_nobody_and_killing_is_for_good() -> None:
    asked = Systemctl()
    Units(asked).stop((1, 3))
    Units(asked).kill((2,))
    assert asked.asked == [
        ("stop", "--no-block", "airflow-worker@1.service", "airflow-worker@3.service"),
        ("kill", "--signal=SIGKILL", "airflow-worker@2.service"),
    ]


def test_what_systemd_refuses_is_told_and_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Units(Systemctl(AirkilnError("no"))).stop((1,))
    assert "event=systemctl-failed reason=no" in capfd.readouterr().err


def test_an_observation_that_systemd_does_not_answer_is_an_error() -> None:
    with pytest.raises(AirkilnError):
        Units(Systemctl(AirkilnError("no"))).observe()
