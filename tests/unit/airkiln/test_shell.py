"""`airkiln airflow ...`: an Airflow command with the units' environment, as the service user."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from airkiln import shell
from airkiln.cli import run as airkiln
from airkiln.errors import AirkilnError, NotPermittedError, NotReadyError
from airkiln.host.layout import Layout
from airkiln.systemd import envfile


class BecameError(BaseException):
    """The process would now be another program."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the wrapper does to its own process, noted and not done."""
    done: list[tuple[object, ...]] = []

    def note(name: str) -> None:
        monkeypatch.setattr(os, name, lambda *arguments: done.append((name, *arguments)))

    def become(name: str) -> None:
        def replace(*arguments: object) -> None:
            done.append((name, *arguments))
            raise BecameError

        monkeypatch.setattr(os, name, replace)

    for name in ("setgroups", "setgid", "setuid", "chdir"):
        note(name)
    become("execve")
    become("execv")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getgrouplist", lambda _user, group: [group])
    monkeypatch.setattr(
        pwd,
        "getpwnam",
        lambda name: pwd.struct_passwd((name, "x", 990, 990, "", "/var/lib/airflow", "/bin/false")),
    )
    return done


@pytest.fixture
def booted(machine: Layout) -> Layout:
    machine.static_env.write_text('A="static"\nB="static"\n')
    machine.run_env.write_text(envfile.render({"B": "loaded", "C": "a \"b\" $c 'd'"}))
    return machine


def test_airflow_runs_as_the_service_user_with_the_units_environment(
    booted: Layout, steps: list[tuple[object, ...]]
) -> None:
    with pytest.raises(BecameError):
        shell.run(["dags", "list", "--output", "json"], booted)
    program, arguments, environment = steps.pop()[1:]
    assert [step[0] for step in steps] == ["setgroups", "setgid", "setuid", "chdir"]
    assert [step[1] for step in steps] == [[990], 990, 990, booted.airflow_home]
    assert program == booted.airflow_bin
    assert arguments == ["airflow", "dags", "list", "--output", "json"]
    assert isinstance(environment, dict)
    assert {"A": "static", "B": "loaded", "C": "a \"b\" $c 'd'"}.items() <= environment.items()


def test_the_callers_own_environment_does_not_reach_airflow(booted: Layout) -> None:
    caller = {
        "TERM": "xterm",
        "PYTHONPATH": "/evil",
        "AIRFLOW__CORE__X": "1",
        "HOME": "/root",
        "PATH": "/evil",
    }
    environment = shell.build_environment(booted, caller)
    assert environment["TERM"] == "xterm"
    assert environment["HOME"] == environment["AIRFLOW_HOME"] == str(booted.airflow_home)
    assert "PYTHONPATH" not in environment
    assert "AIRFLOW__CORE__X" not in environment
    assert "/evil" not in environment["PATH"]


def test_before_the_boot_path_has_loaded_it_says_so(machine: Layout, steps: list[tuple[object, ...]]) -> None:
    with pytest.raises(NotReadyError, match="systemctl status airkiln-boot"):
        shell.run(["version"], machine)
    assert steps == []


def test_every_argument_is_airflows_help_too(
    booted: Layout, steps: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "Layout", lambda: booted)
    with pytest.raises(BecameError):
        airkiln(["airflow", "--help"])
    assert steps[-1][2] == ["airflow", "--help"]


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sudo that lets anybody through, and a caller who is not root."""
    program = tmp_path / "sudo"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setattr(shell, "SUDO", str(program))
    return program


def test_a_user_with_sudo_becomes_root_without_a_question(
    booted: Layout, sudo: Path, steps: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    with pytest.raises(BecameError):
        shell.run(["dags", "list"], booted)
    assert steps == [
        ("execv", str(sudo), [str(sudo), "-n", "--", "/usr/local/bin/airkiln", "airflow", "dags", "list"])
    ]


@pytest.mark.parametrize("content", ["#!/bin/sh\necho 'a password is required' >&2\nexit 1\n", None])
def test_a_user_without_sudo_is_told_to_use_it(
    booted: Layout,
    sudo: Path,
    steps: list[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
) -> None:
    if content is None:
        sudo.unlink()
    else:
        sudo.write_text(content)
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    with pytest.raises(NotPermittedError, match="sudo"):
        shell.run(["dags", "list"], booted)
    assert steps == []


def test_a_machine_without_airflow_is_named(
    booted: Layout, steps: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "execve", missing)
    with pytest.raises(AirkilnError, match="is Airflow installed here"):
        shell.run(["version"], booted)
