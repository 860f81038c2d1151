"""Services declare what they reproduce, and docs/emulation.md says the same."""

from __future__ import annotations

import pytest

from rehearsal.aws.services.behaviours import Behaviour
from tools import emulation

DECLARED = [(service, each) for service in emulation.services() for each in emulation.declared(service)]
each_behaviour = pytest.mark.parametrize(
    ("service", "behaviour"), DECLARED, ids=[f"{service}-{at}" for at, (service, _) in enumerate(DECLARED)]
)


def test_the_document_is_current() -> None:
    assert emulation.DOCUMENT.read_text(encoding="utf-8") == emulation.generated(), "run: make docs"


def test_a_document_that_differs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert emulation.main(["--check"]) == 0
    monkeypatch.setattr(emulation, "HEAD", emulation.HEAD + "changed\n")
    assert emulation.main(["--check"]) == 1


def test_every_package_of_a_service_has_a_name() -> None:
    assert [service for service in emulation.services() if service not in emulation.NAMES] == []


def test_the_services_with_machines_or_states_behind_them_declare_something() -> None:
    assert {"autoscaling", "ec2", "rds", "resolver"} <= {service for service, _ in DECLARED}


@each_behaviour
def test_a_behaviour_is_a_sentence_with_a_source(service: str, behaviour: Behaviour) -> None:
    assert behaviour.what.endswith("."), service
    assert behaviour.left_out == "" or behaviour.left_out.endswith(".")
    assert behaviour.source.startswith("https://docs.aws.amazon.com/")


def test_a_service_declares_nothing_twice() -> None:
    assert len({behaviour.what for _, behaviour in DECLARED}) == len(DECLARED)


def test_a_cell_is_one_line_without_markup() -> None:
    row = emulation._row(Behaviour("One | two\n*three*.", "https://docs.aws.amazon.com/x"))
    assert row == "| One \\| two \\*three\\*. [Source](https://docs.aws.amazon.com/x) | nothing known |"
