"""The command as a process: exit codes, help, and how fast it starts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from airkiln import errors


def run(*arguments: str, stdout: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "airkiln", *arguments],
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_exit_codes_are_all_different_and_documented() -> None:
    codes = [
        errors.OK,
        errors.FAILED,
        errors.USAGE,
        errors.NOT_READY,
        errors.DEFECT,
        errors.UNAVAILABLE,
        errors.DENIED,
        errors.REFUSED,
    ]
    assert len(set(codes)) == len(codes)
    assert all(f"  {code} " in errors.EXIT_CODES_HELP for code in codes)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], errors.OK, "exit codes:"),
        ([], errors.USAGE, "usage: airkiln"),
        (["fly"], errors.USAGE, "invalid choice: 'fly'"),
        (["parameters"], errors.USAGE, "ACTION"),
        (
            ["parameters", "check", "--environment", "p", "--role", "wizard"],
            errors.REFUSED,
            "'wizard' is unknown",
        ),
    ],
)
def test_a_command_ends_with_its_code_and_says_why(arguments: list[str], code: int, words: str) -> None:
    done = run(*arguments)
    assert done.returncode == code
    assert words in done.stdout + done.stderr


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run("--help", stdout=writing).returncode == errors.OK
    finally:
        os.close(writing)


def test_no_command_imports_boto_before_it_asks_aws() -> None:
    code = (
        "import sys, airkiln.cli, airkiln.boot.boot, airkiln.shell;"
        "print([m for m in sys.modules if 'boto' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
