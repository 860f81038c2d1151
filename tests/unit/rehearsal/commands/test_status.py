"""What ``status`` shows, once or until Ctrl-C."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from rehearsal import region as settings
from rehearsal.commands import status
from rehearsal.region import Region


class Terminal(io.StringIO):
    """Output that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def pictures(region: Region) -> tuple[int, str]:
    return 0, f"picture of {region.name}"


def test_of_a_rehearsal_that_does_not_run_it_names_the_command_that_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "REPOSITORY", tmp_path)
    code, text = status.status(Region("unit"))
    assert code == status.NOT_RUNNING
    assert text.splitlines()[-1] == "start     `make rehearse AIRKILN_REHEARSAL=unit`"


def test_it_is_shown_once_where_the_output_is_no_terminal() -> None:
    out = io.StringIO()
    assert status.watch(Region("unit"), out, picture=pictures) == 0
    assert out.getvalue() == "picture of unit\n"


def test_on_a_terminal_it_is_shown_again_until_ctrl_c() -> None:
    out = Terminal()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    assert status.watch(Region("unit"), out, picture=pictures, sleep=sleep) == 0
    assert out.getvalue().count(f"{status.CLEAR}picture of unit\n") == 3


def test_stacks_that_are_complete_are_counted_and_each_other_is_named() -> None:
    stacks = [
        {"StackName": "airkiln-local-network", "StackStatus": "CREATE_COMPLETE"},
        {"StackName": "airkiln-local-security", "StackStatus": "UPDATE_COMPLETE"},
        {"StackName": "airkiln-local-data", "StackStatus": "CREATE_IN_PROGRESS"},
        {"StackName": "airkiln-local-edge", "StackStatus": "ROLLBACK_COMPLETE"},
    ]
    assert status.stack_lines(stacks) == [
        "stacks    2 complete",
        "stack     airkiln-local-data CREATE_IN_PROGRESS",
        "stack     airkiln-local-edge ROLLBACK_COMPLETE",
    ]
    assert status.stack_lines([]) == []
