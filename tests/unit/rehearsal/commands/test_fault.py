"""The faults of a running environment, by name."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from rehearsal.chaos.faults import by_name
from rehearsal.chaos.faults.by_name import FAULTS, Fault, Target
from rehearsal.commands import fault as command
from rehearsal.commands.hosts import Host as Named
from rehearsal.deployment.host import Host
from rehearsal.errors import RehearsalError
from rehearsal.linux.network import Network
from rehearsal.region import Region

REGION = Region("unit")
HOSTS = [
    Host(REGION, "i-0aa1", "10.42.1.1"),
    Host(REGION, "i-0bb2", "10.42.1.2"),
    Host(REGION, "i-0cc3", "10.42.1.3"),
]
NAMED = [
    Named("postgres", "database"),
    Named("i-0aa1", "scheduler"),
    Named("i-0bb2", "scheduler"),
    Named("i-0cc3", "worker"),
]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was injected and healed. One fault of each kind of target replaces the real ones."""
    happened: list[str] = []

    @contextmanager
    def inject(_: Region, host: Host | None, word: str) -> Iterator[None]:
        happened.append(f"begins {host.name if host else word}".rstrip())
        yield
        happened.append("ends")

    faults = tuple(Fault(f"of_{target.name.lower()}", target, "a fault", inject) for target in Target)
    monkeypatch.setattr(
        by_name, "FAULTS", (*faults, Fault("once", Target.HOST, "a fault", inject, lasts=False))
    )
    monkeypatch.setattr(command, "FAULTS", by_name.FAULTS)
    monkeypatch.setattr(command, "running", lambda _: NAMED)
    monkeypatch.setattr(command, "_instances", lambda _: HOSTS)
    monkeypatch.setattr(command, "leader", lambda _: HOSTS[1])
    monkeypatch.setattr(Network, "visit", lambda _: nullcontext())
    return happened


def says(name: str, target: str = "", seconds: float | None = 0.0) -> str:
    out = io.StringIO()
    assert command.fault(REGION, name, target, seconds, out) == 0
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "word", "begins"),
    [
        ("of_host", "worker", "begins i-0cc3"),
        ("of_host", "cc3", "begins i-0cc3"),
        ("of_host", "leader", "begins i-0bb2"),
        ("of_scheduler", "scheduler", "begins i-0aa1"),
        ("of_zone", "us-east-1a", "begins us-east-1a"),
        ("of_nothing", "", "begins"),
    ],
)
def test_a_fault_that_lasts_is_healed_after_its_time(
    events: list[str], name: str, word: str, begins: str
) -> None:
    assert says(name, word).splitlines()[-1] == f"{name} is healed"
    assert events == [begins, "ends"]


def test_ctrl_c_heals_it_and_is_no_failure(events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    event = SimpleNamespace(wait=interrupted)
    monkeypatch.setattr("threading.Event", lambda: event)
    assert says("of_host", "worker", None).splitlines()[1:] == ["healed at Ctrl-C", "", "of_host is healed"]
    assert events == ["begins i-0cc3", "ends"]


def test_what_happens_once_waits_for_nothing(events: list[str]) -> None:
    assert says("once", "worker", None) == "once: a fault, i-0cc3\n"
    assert events == ["begins i-0cc3", "ends"]


@pytest.mark.parametrize(
    ("name", "word", "needs"),
    [
        (
            "of_host",
            "",
            "needs a host: `make rehearse-fault FAULT=of_host HOST=worker AIRKILN_REHEARSAL=unit`",
        ),
        ("of_host", "database", "names 0 machines"),
        ("of_scheduler", "worker", "needs a scheduler host"),
        ("of_zone", "", "needs a zone such as us-east-1a"),
        ("of_nothing", "worker", "needs nothing else"),
        ("unknown", "", "No fault is named 'unknown'. There are: of_host,"),
    ],
)
def test_what_it_needs_is_said_and_nothing_is_injected(
    events: list[str], name: str, word: str, needs: str
) -> None:
    with pytest.raises(RehearsalError) as refused:
        command.fault(REGION, name, word, 0.0, io.StringIO())
    assert needs in str(refused.value)
    assert events == []


def test_without_a_name_they_are_listed_with_what_they_need() -> None:
    lines = says("").splitlines()
    assert [line.split()[0] for line in lines] == [each.name for each in FAULTS]
    assert next(line for line in lines if line.startswith("spot_notice")).endswith("(once)")
    assert " ZONE " in next(line for line in lines if line.startswith("zone_cut_off"))


@pytest.mark.parametrize(("led_by", "found"), [("i-0bb2", "i-0bb2"), (None, None)])
def test_the_leader_is_whom_the_controllers_name(
    led_by: str | None, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = SimpleNamespace(returncode=0, stdout=json.dumps({"leader": led_by}))
    machine = SimpleNamespace(execute=lambda *_, **__: answer)
    monkeypatch.setattr(Host, "machine", property(lambda _: machine))
    if found is None:
        with pytest.raises(RehearsalError, match="No scheduler host leads"):
            command.leader(HOSTS)
    else:
        assert command.leader(HOSTS).name == found
