"""Where code of the user airflow may write, and that nothing that runs as root trusts what lies there.

Tasks, triggers and DAG files run as that user, so that what it may write is what they want it to be.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from airkiln.lifecycle import running
from tests.unit.roles.rendering import ROLES, render
from tests.unit.roles.test_airflow_units import SANDBOX, UNITS, services, settings

SOURCE = ROLES.parent / "src/airkiln"
DIRECTORIES = {"RuntimeDirectory": "/run", "StateDirectory": "/var/lib", "LogsDirectory": "/var/log"}
"""The settings by which systemd gives a unit's user a directory, and where it is."""
MAY_WRITE = {
    "/run/airflow/worker/%i": {"airflow-worker@.service"},
    "/srv/efs": {"*"},
    "/var/lib/airflow-units/%p": {"*"},
    "/var/log/airflow": {"*"},
}
"""All that units of the user airflow may write on the host, and which units."""
WRITTEN_BY_TASKS = re.compile(
    r"/?(run/airflow|var/lib/airflow|var/log/airflow|srv/airflow/dags|srv/efs)(?![a-z])"
)
READ_AS_ROOT = {
    # Names of candidates alone, from small regular files: what is cleared is what Airflow has running here.
    "lifecycle/running.py": {"run/airflow"},
    # The home of `airkiln airflow`, which becomes the user airflow before it goes there.
    "host/layout.py": {"var/lib/airflow"},
}
"""The programs of root that name such a path, and why that is harmless."""


def written(lines: list[str]) -> set[str]:
    """The directories of the host that settings of a unit let its user write."""
    found = set()
    for line in lines:
        name, _, value = line.partition("=")
        if name in DIRECTORIES:
            found |= {f"{DIRECTORIES[name]}/{each}" for each in value.split()}
        elif name == "ReadWritePaths":
            found |= {each.lstrip("-+") for each in value.split()}
        elif name == "BindPaths":
            found |= {each.partition(":")[0] for each in value.split()}
        else:
            assert name not in ("CacheDirectory", "ConfigurationDirectory"), line
    return found


def test_units_of_airflow_write_where_the_table_says_and_nowhere_else() -> None:
    shared = written(settings(render("airflow", SANDBOX)))
    shared |= written(settings(render("efs", "airflow-.service.d/50-efs.conf")))
    found = {path: {"*"} for path in shared}
    for unit, lines in services().items():
        for path in written(lines):
            found.setdefault(path, set()).add(unit)
    assert found == MAY_WRITE


def test_what_tasks_write_below_run_has_a_small_file_system_of_its_own() -> None:
    below_run = [path for path in MAY_WRITE if path.startswith("/run/")]
    assert below_run == [f"{running.RUN}/%i"]
    mount = render("airflow_worker", "run-airflow-worker.mount").splitlines()
    assert {f"Where={running.RUN}", "Type=tmpfs"} <= set(mount)
    (options,) = [line.partition("=")[2].split(",") for line in mount if line.startswith("Options=")]
    assert {"size=16M", "nr_inodes=4096", "noexec", "nosuid", "nodev"} <= set(options)
    assert (
        "After=run-airflow-worker.mount"
        in render("worker_lifecycle", "airkiln-lifecycle.service").splitlines()
    )


def paths_of_tasks(source: str) -> set[str]:
    """The paths in strings of a program that name what tasks may write; docstrings are not meant."""
    tree = ast.parse(source)
    prose = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    texts = [
        each.value
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in prose
    ]
    return {match[1] for text in texts for match in WRITTEN_BY_TASKS.finditer(text)}


def test_no_program_of_root_trusts_what_tasks_may_write() -> None:
    found = {
        str(path.relative_to(SOURCE)): paths_of_tasks(path.read_text(encoding="utf-8"))
        for path in SOURCE.rglob("*.py")
    }
    assert {path: named for path, named in found.items() if named} == READ_AS_ROOT


ROOTS = sorted(
    path
    for path in ROLES.glob(f"*/{UNITS}/**/*.j2")
    if not re.search(r"/(airflow-|airkiln-database\.service|efs\.|run-airflow)", str(path))
)


@pytest.mark.parametrize("path", ROOTS, ids=[str(path.relative_to(ROLES)) for path in ROOTS])
def test_no_unit_of_root_reads_what_tasks_may_write(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert [line for line in lines if WRITTEN_BY_TASKS.search(line)] == []
