"""An upgrade in place makes an environment beside the one in force, checks it, and renames one link."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
UV = """\
#!/bin/sh
# In place of uv: it makes an environment that says which one it is, and writes down its calls.
echo "$1 $2" >>{here}/calls
case $1 in
    venv) '{python}' -m venv --clear --without-pip "$5" ;;
    pip) echo "name = '$VIRTUAL_ENV'" >"$(echo "$VIRTUAL_ENV"/lib/python3*/site-packages)/late.py" ;;
esac
"""
LATE = "import shutil, sys; input(); import late; print(late.name, sys.prefix, shutil.which('python'))"
"""What a process does that imports a module, and starts a program by name, after the upgrade."""


AS_ROOT: Sequence[str] = () if os.geteuid() == 0 else ("unshare", "--map-root-user")
PLAY = {
    "hosts": "localhost",
    "gather_facts": False,
    "force_handlers": True,
    "tasks": [{"ansible.builtin.include_role": {"name": "base", "tasks_from": "virtual_environment.yml"}}],
    "handlers": [
        {
            "name": "Virtual environment changed",
            "ansible.builtin.shell": "echo restarted >>{{ playbook_dir }}/calls",
        }
    ],
}


@dataclass(frozen=True)
class Run:
    """What one run of the playbook did, and what it left."""

    code: int
    changed: int
    calls: tuple[str, ...]
    """Of uv, and of the handler."""
    link: str
    """Name of the environment in force."""
    environments: frozenset[str]


@dataclass(frozen=True)
class Machine:
    """A folder in place of the root of a host."""

    home: Path

    @property
    def path(self) -> Path:
        return self.home / "opt/airflow"

    def converge(self, release: str, check: str = "import late") -> Run:
        """Put the environment of a release in force as a role does."""
        calls = self.home / "calls"
        calls.write_text("")
        (self.home / "lock.txt").write_text(release)
        variables = {
            # Not this environment's: Ansible takes no interpreter whose path has a space in it.
            "ansible_python_interpreter": "/usr/bin/python3",
            "__base_lock": str(self.home / "lock.txt"),
            "__base_wheels": str(self.home / "wheels"),
            "base_virtual_environment_path": str(self.path),
            "base_virtual_environment_python": "/usr/bin/python3",
            "base_virtual_environment_lock": "lock.txt",
            "base_virtual_environment_project": "src/airkiln_airflow",
            "base_virtual_environment_extra": ["acme==1"],
            "base_virtual_environment_check": ["-c", check],
        }
        command = [
            *AS_ROOT,
            str(Path(sys.executable).parent / "ansible-playbook"),
            str(self.home / "play.yml"),
        ]
        command += ["--connection=local", "--inventory=localhost,", "--extra-vars", json.dumps(variables)]
        path = f"{self.home}/bin:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "ANSIBLE_ROLES_PATH": str(ROOT / "roles")}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        changed = re.search(r"changed=(\d+)", done.stdout)
        assert changed is not None, done.stdout + done.stderr
        return Run(
            done.returncode,
            int(changed[1]),
            tuple(calls.read_text().splitlines()),
            self.path.readlink().name,
            frozenset(each.name for each in (self.home / "opt/airflow.d").iterdir()),
        )

    def start(self) -> subprocess.Popen[str]:
        """Start a process as a unit does."""
        command = [str(self.path / "bin/airkiln-python"), "-P", "-c", LATE]
        environment = {"PATH": f"{self.path}/bin:/usr/bin:/bin"}
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )


@dataclass(frozen=True)
class History:
    """What became of a host whose first environment was made at the path itself."""

    first: Run
    second: Run
    broken: Run
    third: Run
    back: Run
    again: Run
    printed: str
    """By a process of the first release, after the third."""
    home: Path


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """One host's releases, in order; a process of the first one runs until the third is in force."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    (machine.home / "bin").mkdir()
    uv = machine.home / "bin/uv"
    uv.write_text(UV.format(here=machine.home, python=sys.executable))
    uv.chmod(0o755)
    (machine.home / "play.yml").write_text(yaml.safe_dump([PLAY]))
    (machine.path / "bin").mkdir(parents=True)
    first = machine.converge("1")
    with machine.start() as process:
        second = machine.converge("2")
        broken = machine.converge("3", check="import gone")
        third = machine.converge("3")
        printed, _ = process.communicate("\n")
    return History(
        first, second, broken, third, machine.converge("2"), machine.converge("2"), printed, machine.home
    )


def test_each_release_has_an_environment_and_the_link_leads_to_the_last(history: History) -> None:
    runs = (history.first, history.second, history.third)
    assert [run.code for run in runs] == [0, 0, 0]
    assert len({run.link for run in runs}) == 3
    assert all(run.link in run.environments for run in runs)
    assert all(run.calls[0] == "venv --clear" and run.calls[-1] == "restarted" for run in runs)


def test_what_a_former_release_has_installed_at_the_path_is_replaced(history: History) -> None:
    assert history.first.environments == {history.first.link}


def test_a_process_finds_the_release_that_it_was_started_from(history: History) -> None:
    own = str(history.home / "opt/airflow.d" / history.first.link)
    assert history.printed.split() == [own, own, f"{own}/bin/python"]


def test_an_environment_that_does_not_import_is_not_put_in_force_and_restarts_nothing(
    history: History,
) -> None:
    assert history.broken.code != 0
    assert history.broken.link == history.second.link
    assert "restarted" not in history.broken.calls


def test_what_a_failed_run_has_left_is_made_anew(history: History) -> None:
    assert history.third.link in history.broken.environments
    assert history.third.calls[0] == "venv --clear"


def test_what_a_process_runs_from_stays_and_the_release_before_as_well(history: History) -> None:
    assert history.third.environments == {history.first.link, history.second.link, history.third.link}
    assert history.back.environments == {history.second.link, history.third.link}


def test_a_return_to_the_release_before_installs_nothing(history: History) -> None:
    assert (history.back.code, history.back.link) == (0, history.second.link)
    assert history.back.calls == ("restarted",)


def test_a_second_run_changes_nothing(history: History) -> None:
    assert (history.again.code, history.again.changed, history.again.calls) == (0, 0, ())
