"""Airflow and the program beside it, as they lie in the image."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from airkiln.database import retention

RELEASE = "/etc/airkiln-release"


def release(host: Host) -> dict[str, str]:
    text = host.file(RELEASE).content_string
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_airflow_has_the_version_that_the_image_names(host: Host) -> None:
    program = "from importlib.metadata import version; print(version('apache-airflow'))"
    assert host.check_output("/opt/airflow/bin/python -B -c %s", program) == release(host)["AIRFLOW_VERSION"]


def test_every_executor_and_provider_imports(host: Host) -> None:
    version = release(host)["AIRFLOW_VERSION"]
    checked = host.run(f"cd / && /opt/airflow/bin/python -P -B -m airkiln_airflow.import_check {version}")
    assert checked.rc == 0, checked.stdout + checked.stderr


CLEANED = """
from airflow.utils.db_cleanup import config_dict
print("tables", *sorted(config_dict))
"""


def test_every_table_that_airflow_db_clean_empties_is_emptied_or_left_for_a_reason(host: Host) -> None:
    manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    environment = (
        f'AIRFLOW_CONFIG=/etc/airkiln/airflow.cfg AIRFLOW__CORE__AUTH_MANAGER={manager} AIRFLOW_HOME="$home"'
    )
    asked = host.check_output(
        f"cd / && home=$(mktemp -d) && env {environment} /opt/airflow/bin/python -B -P -c %s; rm -rf $home",
        CLEANED,
    )
    (names,) = (line.split()[1:] for line in asked.splitlines() if line.startswith("tables "))
    assert sorted(names) == sorted({table.name for table in retention.TABLES} | set(retention.LEFT))


@pytest.mark.parametrize("module", ["boto3", "psycopg", "airkiln"])
def test_the_boot_program_has_what_it_needs(host: Host, module: str) -> None:
    assert host.run(f"cd / && /opt/airkiln/bin/python -B -c 'import {module}'").rc == 0


def test_the_boot_program_has_nothing_of_airflow(host: Host) -> None:
    assert host.run("cd / && /opt/airkiln/bin/python -B -c 'import airflow'").rc != 0


@pytest.mark.parametrize("environment", ["/opt/airflow", "/opt/airkiln"])
def test_the_image_carries_one_environment(host: Host, environment: str) -> None:
    found = host.check_output(f"ls -A {environment}.d").split()
    assert [host.file(environment).linked_to] == [f"{environment}.d/{each}" for each in found]
    program = "import sys; print(sys.prefix)"
    python = f"{environment}/bin/airkiln-python -P -B -c '{program}'"
    assert host.check_output(f"cd / && {python}") == f"{environment}.d/{found[0]}"


@pytest.mark.parametrize("environment", ["/opt/airflow", "/opt/airkiln"])
def test_bytecode_is_compiled_in_the_image(host: Host, environment: str) -> None:
    sources = int(host.check_output(f"find {environment}/ -name '*.py' -path '*/site-packages/*' | wc -l"))
    compiled = int(host.check_output(f"find {environment}/ -name '*.pyc' -path '*/site-packages/*' | wc -l"))
    assert compiled >= 0.98 * sources > 0


def test_a_task_can_make_a_virtual_environment(host: Host) -> None:
    # PythonVirtualenvOperator needs pip's own wheel, which Debian has in a package of its own.
    assert host.run("cd / && /opt/airflow/bin/python -B -c 'import ensurepip; ensurepip.version()'").rc == 0


def test_the_commands_are_on_the_path(host: Host) -> None:
    # The link that an upgrade moves, not where it leads now.
    assert host.check_output("readlink /usr/local/bin/airkiln") == "/opt/airkiln/bin/airkiln"
    assert host.file("/usr/local/bin/airflow").mode & 0o111


def test_the_settings_that_everybody_can_read_hold_no_secret(host: Host) -> None:
    text = host.file("/etc/airkiln/airflow.env").content_string
    names = {line.partition("=")[0] for line in text.splitlines() if "=" in line and not line.startswith("#")}
    secret = {
        name for name in names if name.endswith(("SECRET_KEY", "JWT_SECRET", "FERNET_KEY", "ALCHEMY_CONN"))
    }
    assert names
    assert secret == set()


def test_only_root_can_change_what_decides_who_is_logged_in(host: Host) -> None:
    file = host.file("/etc/airkiln/webserver_config.py")
    assert (file.user, file.group, oct(file.mode)) == ("root", "root", "0o644")
    settings = host.file("/etc/airkiln/airflow.env").content_string
    assert 'AIRFLOW__FAB__CONFIG_FILE="/etc/airkiln/webserver_config.py"' in settings
    assert file.content_string.splitlines()[-1] == "SECRET_KEY = session_key(conf.get)"
