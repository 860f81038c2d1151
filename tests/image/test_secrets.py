"""What keeps the secrets of a component from the others, as it lies in the image and on an instance."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from airkiln.receivers import RECEIVERS
from airkiln.roles import ROLES

SENSITIVE = """
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager
ProvidersManager().initialize_providers_configuration()
print(*sorted(f"AIRFLOW__{section}__{key}".upper() for section, key in conf.sensitive_config_values))
"""


def test_every_option_that_airflow_takes_for_a_secret_has_its_receivers(host: Host) -> None:
    environment = 'AIRFLOW_CONFIG=/etc/airkiln/airflow.cfg AIRFLOW_HOME="$home" PYTHONDONTWRITEBYTECODE=1'
    asked = host.check_output(
        f"cd / && home=$(mktemp -d) && env {environment} /opt/airflow/bin/python -P -c %s; rm -rf $home",
        SENSITIVE,
    )
    names = asked.splitlines()[-1].split()
    assert len(names) >= 16
    assert [name for name in names if not any(name.startswith(entry) for entry in RECEIVERS)] == []


@pytest.mark.state("serving")
def test_only_root_reads_what_the_boot_has_written(host: Host) -> None:
    listed = host.check_output("stat --format='%%n %%U:%%G %%a' /run/airkiln/*.env").splitlines()
    found = dict(line.split(maxsplit=1) for line in listed)
    assert {"/run/airkiln/airflow.env", "/run/airkiln/admin.env"} < set(found)
    assert set(found.values()) == {"root:root 600"}


@pytest.mark.state("serving")
def test_a_unit_reads_the_file_with_its_own_name(host: Host) -> None:
    units = {unit for role in ROLES.values() for unit in role.units}
    asked = f"systemctl show --property=Id,EnvironmentFiles {' '.join(sorted(units))}"
    files = [line for line in host.check_output(asked).splitlines() if "EnvironmentFiles=/run/" in line]
    assert sorted(files) == sorted(
        f"EnvironmentFiles=/run/airkiln/{unit.removesuffix('.service').partition('@')[0]}.env "
        "(ignore_errors=no)"
        for unit in units
    )
