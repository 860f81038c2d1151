"""What Airflow's units give the code that they run: programs, files, memory, and where it may write."""

from __future__ import annotations

import re

import pytest
import yaml

from airkiln.receivers import UNITS as RECEIVING
from airkiln.receivers import file_name
from tests.unit.roles.rendering import ROLES, render, variables

UNITS = "templates/etc/systemd/system"
OWN_FILE = "EnvironmentFile=/run/airkiln/%p.env"
SANDBOX = "airflow-.service.d/10-sandbox.conf"
NO_CODE_OF_USERS = {"airflow-webserver.service", "airflow-worker-logs.service", "airkiln-database.service"}
"""Every other unit runs tasks, triggers or DAG files; the scheduler runs tasks with LocalExecutor."""


def settings(text: str) -> list[str]:
    """The settings in the section [Service] of a unit or drop-in."""
    return [line for line in text.partition("[Service]")[2].splitlines() if "=" in line and line[0] != "#"]


def services() -> dict[str, list[str]]:
    """The settings of every service that runs Airflow: its own, and those of its drop-ins."""
    found = {}
    for path in (
        *ROLES.glob(f"*/{UNITS}/airflow-*.service.j2"),
        *ROLES.glob(f"*/{UNITS}/airkiln-database.service.j2"),
    ):
        lines = settings(render(path.relative_to(ROLES).parts[0], path.stem))
        for drop_in in ROLES.glob(f"*/{UNITS}/{path.stem}.d/*.j2"):
            role, name = drop_in.relative_to(ROLES).parts[0], f"{path.stem}.d/{drop_in.stem}"
            lines += settings(render(role, name, item=path.stem.removesuffix(".service")))
        found[path.stem] = lines
    return found


@pytest.mark.parametrize("unit", sorted(services()))
def test_a_unit_allows_a_jit_compiler_exactly_where_it_runs_code_of_users(unit: str) -> None:
    assert ("MemoryDenyWriteExecute=yes" in services()[unit]) == (unit in NO_CODE_OF_USERS)
    assert "MemoryDenyWriteExecute=yes" not in settings(render("airflow", SANDBOX))


@pytest.mark.parametrize("unit", sorted(services()))
def test_a_unit_reads_its_own_variables_and_no_other_file_of_the_boot(unit: str) -> None:
    assert f"{unit.partition('@')[0].removesuffix('.service')}.env" in {file_name(each) for each in RECEIVING}
    read = [line for line in (*services()[unit], *settings(render("airflow", SANDBOX))) if "/run/" in line]
    assert [line for line in read if line.startswith("EnvironmentFile=")] == [OWN_FILE]
    assert "AssertPathExists=/run/airkiln/%p.env" in render("airflow", SANDBOX)


def test_no_system_call_looks_into_another_process_of_the_same_user() -> None:
    lines = settings(render("airflow", SANDBOX))
    filters = [line for line in lines if line.startswith("SystemCallFilter=")]
    assert filters[-1] == "SystemCallFilter=~@debug process_vm_readv process_vm_writev process_madvise kcmp"
    # A library that tries one of them is refused, not killed.
    assert "SystemCallErrorNumber=EPERM" in lines
    assert {line for each in services().values() for line in each if "SystemCall" in line} == set()


@pytest.mark.parametrize("unit", sorted({*services()} - {"airkiln-database.service"}))
def test_the_process_of_a_unit_is_one_that_closes_itself_to_others(unit: str) -> None:
    (command,) = [line.split("=", 1)[1].split() for line in services()[unit] if line.startswith("ExecStart=")]
    assert command[:3] == ["/opt/airflow/bin/airkiln-python", "-P", "-m"]
    closed = {"component", "dag_processor", "log_server", "warm", "webserver"}
    assert command[3].removeprefix("airkiln_airflow.") in closed


def test_no_unit_starts_python_through_the_link_that_an_upgrade_moves() -> None:
    units = [path for path in ROLES.glob(f"*/{UNITS}/**/*.j2") if path.is_file()]
    lines = [line for path in units for line in path.read_text(encoding="utf-8").splitlines()]
    starts = [line for line in lines if re.match(r"Exec\w+=", line)]
    assert len(starts) > len(services())
    # A program of an environment names its interpreter by its own path, and so does airkiln-python.
    assert [line for line in starts if re.search(r"/opt/\w+/bin/python", line)] == []


@pytest.mark.parametrize(
    "setting",
    [
        "Environment=PATH=/opt/airflow/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        "LimitNOFILE=65536",
        "OOMPolicy=continue",
    ],
)
def test_every_unit_has_what_tasks_and_triggers_need(setting: str) -> None:
    assert setting in settings(render("airflow", SANDBOX))
    name = setting.partition("=")[0] + "="
    own = [(unit, line) for unit, lines in services().items() for line in lines if line.startswith(name)]
    assert [(unit, line) for unit, line in own if "PATH=" in line or name != "Environment="] == []


def test_a_unit_has_a_home_of_its_own_at_airflow_home_and_roots_configuration_in_it() -> None:
    lines = settings(render("airflow", SANDBOX))
    assert "StateDirectory=airflow-units/%p" in lines
    assert "BindPaths=/var/lib/airflow-units/%p:/var/lib/airflow" in lines
    assert "BindReadOnlyPaths=/srv/airflow/config:/var/lib/airflow/config" in lines


@pytest.mark.parametrize("unit", sorted(services()))
def test_no_unit_may_write_to_what_another_one_loads(unit: str) -> None:
    may_write = (
        "StateDirectory=",
        "BindPaths=",
        "ReadWritePaths=",
        "CacheDirectory=",
        "ConfigurationDirectory=",
    )
    assert [line for line in services()[unit] if line.startswith(may_write)] == []
    assert "ProtectSystem=strict" in settings(render("airflow", SANDBOX))


def test_every_unit_may_write_to_efs_whenever_it_is_mounted() -> None:
    assert "ReadWritePaths=-/srv/efs" in settings(render("efs", "airflow-.service.d/50-efs.conf"))


def test_a_worker_keeps_no_connections() -> None:
    (worker,) = [lines for unit, lines in services().items() if unit.startswith("airflow-worker@")]
    assert "Environment=AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED=False" in worker


def test_logs_on_the_host_are_removed_after_days() -> None:
    rules = [line.split() for line in render("airflow", "/etc/tmpfiles.d/airflow.conf").splitlines()]
    ages = {rule[1]: rule[-1] for rule in rules if rule and rule[0] == "e"}
    assert ages == {"/var/log/airflow": "14d", "/var/log/airflow/dag_processor": "3d"}


def test_temporary_files_do_not_fill_the_memory() -> None:
    tasks = yaml.safe_load((ROLES / "base/tasks/configure.yml").read_text(encoding="utf-8"))
    units = [task.get("ansible.builtin.systemd_service", {}) for task in tasks]
    assert [unit["masked"] for unit in units if unit.get("name") == "tmp.mount"] == [
        "{{ not base_tmp_in_memory }}"
    ]
    assert variables("base")["base_tmp_in_memory"] is False
