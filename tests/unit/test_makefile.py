"""The targets of the Makefile that take variables."""

from __future__ import annotations

import os
import subprocess

import pytest

from rehearsal.region import REPOSITORY


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """What make would run for a target, whatever another make has passed on to this process."""
    return subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *words],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("words", "command"),
    [([], "deploy"), (["SIZE=two"], "deploy"), (["SIZE=one"], "up")],
    ids=["by default", "two", "one"],
)
def test_the_size_of_a_rehearsal_selects_the_command(words: list[str], command: str) -> None:
    assert make("rehearse", *words).stdout.splitlines()[-1].endswith(f"-m rehearsal {command}")


def test_another_size_is_refused_with_those_there_are() -> None:
    refused = make("rehearse", "SIZE=three")
    assert refused.returncode != 0
    assert "SIZE=three is not a size" in refused.stderr
    assert "SIZE=two and SIZE=one" in refused.stderr
    assert "rehearsal" not in refused.stdout


@pytest.mark.parametrize(
    ("target", "command"),
    [
        (["rehearse-shell", "HOST=webserver"], "shell webserver"),
        (["rehearse-logs", "ROLE=scheduler"], "logs scheduler"),
        (["rehearse-status"], "status --watch"),
        (["rehearse-down"], "down"),
    ],
    ids=["shell", "logs", "status", "down"],
)
def test_a_target_passes_its_variable_on(target: list[str], command: str) -> None:
    assert make(*target).stdout.splitlines()[-1].endswith(f"-m rehearsal {command}")
