"""The facts about an instance, written by the boot path and read by everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from airkiln.host import instance
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout

WHOLE = Instance("i-0aa1", "eu-west-1", "worker", "prod", "heavy")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    found.instance_json.parent.mkdir(parents=True)
    return found


@pytest.mark.parametrize("facts", [WHOLE, Instance(), Instance(role="all", environment="local")])
def test_what_is_written_is_read(layout: Layout, facts: Instance) -> None:
    layout.instance_json.write_text(instance.render(facts))
    assert instance.read(layout) == facts


@pytest.mark.parametrize("known", [None, "{", "[]", "3", '{"instance_id": null, "environment": ""}'])
def test_before_the_boot_path_has_written_nothing_is_known(layout: Layout, known: str | None) -> None:
    if known is not None:
        layout.instance_json.write_text(known)
    assert instance.read(layout) == Instance()


def test_a_fact_of_a_later_release_is_ignored(layout: Layout) -> None:
    layout.instance_json.write_text('{"instance_id": "i-1", "colour": "red"}')
    assert instance.read(layout) == Instance("i-1")


def test_a_host_is_named_after_its_instance() -> None:
    assert WHOLE.host == "i-0aa1"


def test_without_an_instance_it_has_its_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "scheduler-1")
    assert Instance().host == "scheduler-1"
