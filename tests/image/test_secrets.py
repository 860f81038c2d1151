"""What keeps the secrets of a component from the others, as it lies in the image and on an instance."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from airkiln.receivers import RECEIVERS, environments, file_name
from airkiln.roles import ROLES
from airkiln.systemd import envfile

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
    listed = host.check_output("stat --format='%n %U:%G %a' /run/airkiln/*.env").splitlines()
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


ATTEMPTS = """
import ctypes, os, pathlib, sys

pid, others = int(sys.argv[1]), sys.argv[2:]
libc = ctypes.CDLL(None, use_errno=True)

class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def copy_memory():
    start = int(pathlib.Path("/proc/self/maps").read_text().partition("-")[0], 16)
    here = Part(ctypes.cast(ctypes.create_string_buffer(64), ctypes.c_void_p), 64)
    if libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(Part(start, 64)), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")

def write(path):
    (pathlib.Path(path) / "attempt").write_text("")

def fill(path):
    file = pathlib.Path(path) / "attempt"
    try:
        file.write_bytes(bytes(1 << 26))
    finally:
        file.unlink(missing_ok=True)

succeeded = []
def attempt(name, action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        if error.errno in (1, 13, 28, 30):  # EPERM, EACCES, ENOSPC, EROFS
            return
        name += f" ({error})"
    succeeded.append(name)

for path in pathlib.Path("/run/airkiln").glob("*.env"):
    attempt(str(path), path.read_bytes)
for name in ("environ", "mem", "maps"):
    attempt(name, pathlib.Path(f"/proc/{pid}/{name}").open, "rb")
attempt("process_vm_readv", copy_memory)
for folder in ("/srv/airflow/dags", "/srv/airflow/plugins", "/var/lib/airflow/config", *others):
    attempt(folder, write, folder)
below_run = [folder for folder, _, _ in os.walk("/run") if os.access(folder, os.W_OK)]
for folder in below_run:
    attempt(f"fill {folder}", fill, folder)
write("/var/lib/airflow")
(pathlib.Path("/var/lib/airflow") / "attempt").unlink()
print(*succeeded, sep=chr(10))
"""
"""What code of the user airflow tries inside a unit, with no filter of system calls. It prints what
succeeded, and must be able to write to the unit's own home."""
AS_AIRFLOW = "--setuid=990 --setgid=990"


@pytest.fixture
def role(host: Host) -> str:
    """The role of this instance."""
    return str(json.loads(host.file("/run/airkiln/instance.json").content_string)["role"])


@pytest.fixture
def units(host: Host, role: str) -> dict[str, str]:
    """The main processes of the running units of Airflow."""
    asked = {unit: f"systemctl show --value --property=MainPID {unit}" for unit in ROLES[role].units}
    found = {unit: host.check_output(command).strip() for unit, command in asked.items()}
    assert found
    return {unit: pid for unit, pid in found.items() if pid != "0"}


@pytest.mark.state("serving")
def test_code_inside_a_unit_reaches_no_secret_and_no_code_of_others(
    host: Host, units: dict[str, str]
) -> None:
    homes = {unit: f"/var/lib/airflow-units/{file_name(unit).removesuffix('.env')}" for unit in units}
    for unit, pid in units.items():
        others = " ".join(home for each, home in homes.items() if each != unit)
        inside = f"nsenter --target={pid} --user --mount {AS_AIRFLOW} --"
        command = f"cd / && {inside} /opt/airflow/bin/python -P -c %s {pid} {others}"
        assert host.check_output(command, ATTEMPTS).split() == [], unit


@pytest.mark.state("serving")
def test_no_two_units_have_one_home(host: Host, units: dict[str, str]) -> None:
    asked = "nsenter --target={} --mount stat --format=%d:%i /var/lib/airflow"
    homes = {unit: host.check_output(asked.format(pid)) for unit, pid in units.items()}
    assert len(set(homes.values())) == len(units), homes


@pytest.mark.state("serving")
def test_a_unit_has_its_own_secrets_and_not_those_of_others(
    host: Host, role: str, units: dict[str, str]
) -> None:
    loaded = envfile.parse(host.file("/run/airkiln/airflow.env").content_string)
    wanted_of = environments(loaded, ROLES[role])
    secrets = {name for name in loaded if any(name.startswith(entry) for entry in RECEIVERS)}
    for unit in units:
        files = host.check_output(f"systemctl show --value --property=EnvironmentFiles {unit}").splitlines()
        read = " ".join(f"--property=EnvironmentFile={line.partition(' ')[0]}" for line in files)
        # As the unit's own process: that of the web server overwrites its environment with its title.
        shown = host.check_output(f"systemd-run --quiet --pipe --wait --property=User=airflow {read} env")
        environment = dict(line.partition("=")[::2] for line in shown.splitlines())
        wanted = wanted_of[unit]
        assert [name for name in secrets if environment.get(name) != wanted.get(name)] == [], unit
        received = {wanted[name] for name in secrets & wanted.keys()}
        withheld = [name for name in secrets if loaded[name] not in received]
        assert [name for name in withheld if loaded[name] in environment.values()] == [], unit


@pytest.mark.state("serving")
def test_systemd_refuses_the_calls_that_look_into_other_processes(host: Host, units: dict[str, str]) -> None:
    for unit in units:
        allowed = host.check_output(f"systemctl show --value --property=SystemCallFilter {unit}").split()
        assert "read" in allowed
        refused = {
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
        }
        assert refused & set(allowed) == set(), unit


@pytest.mark.parametrize("folder", ["/srv/airflow", "/srv/airflow/config", "/srv/airflow/plugins"])
def test_only_root_changes_the_code_that_every_component_imports(host: Host, folder: str) -> None:
    directory = host.file(folder)
    assert directory.is_directory
    assert (directory.user, directory.group, oct(directory.mode)) == ("root", "root", "0o755")


def test_airflow_looks_for_plugins_where_only_root_writes(host: Host) -> None:
    settings = host.file("/etc/airkiln/airflow.env").content_string.splitlines()
    assert 'AIRFLOW__CORE__PLUGINS_FOLDER="/srv/airflow/plugins"' in settings
    assert host.file("/var/lib/airflow/config").linked_to == "/srv/airflow/config"
