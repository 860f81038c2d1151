"""What Airkiln's own parameters may hold: the boot refuses what the program that follows it would refuse."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from airkiln.database import retention
from airkiln.errors import RefusedError
from airkiln.parameters import own, rules
from airkiln.parameters.names import bad_name_reason
from airkiln.parameters.rules import Parameter
from airkiln.pools import settings as pools
from airkiln_deploy.settings import problems

ROOT = Path(__file__).parents[4]
TUNNEL = ROOT / "roles/efs/files/usr/lib/airkiln/efs-tunnel-configure"


def check(**values: str) -> list[str]:
    return rules.check([Parameter(name, value, name) for name, value in values.items()], None, {})


def read_somewhere() -> Iterator[str]:
    """Every name of a variable of Airkiln's own in the programs on an instance."""
    for folder in ("src/airkiln", "src/airkiln_airflow", "roles"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".j2", ""):
                yield from re.findall(r"\bAIRKILN_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))


def test_every_parameter_that_a_program_reads_has_its_rule() -> None:
    settable = {name for name in read_somewhere() if bad_name_reason(name) is None}
    prefixes = {name for name in settable if any(f"{name}_" in other for other in own.VALUES)}
    assert settable - prefixes == set(own.VALUES)


REFUSED = [
    ("AIRKILN_DATABASE_UNVERIFIED", "yes"),
    ("AIRKILN_EFS_HOST", "files.example.org\ttoo"),
    ("AIRKILN_EFS_HOST", "-a"),
    ("AIRKILN_EFS_ID", "fs-1"),
    ("AIRKILN_EFS_ID", "fsap-0123456789abcdef0"),
    ("AIRKILN_POOLS", "{"),
    ("AIRKILN_POOLS", "[]"),
    ("AIRKILN_POOLS", '{"default": {"slots": 0, "queues": ["default"]}}'),
    ("AIRKILN_RETENTION_DAYS", "0"),
    ("AIRKILN_RETENTION_DAYS", "ninety"),
    ("AIRKILN_WEB_PUBLIC_PORT", "8081/tcp"),
    ("AIRKILN_WEB_PUBLIC_PORT", "65536"),
    ("AIRKILN_WEB_TRUSTED_PROXIES", "everybody"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_what_no_component_can_follow_the_boot_and_a_deployment_refuse(name: str, value: str) -> None:
    (problem,) = check(**{name: value})
    assert problem.startswith(f"{name}: ")
    assert len(problems({"common": {name: value}})) == 1


def test_every_rule_refuses_something() -> None:
    strict = {name for name, rule in own.VALUES.items() if rule is not own.VALUES["AIRKILN_ADMIN_EMAIL"]}
    assert strict == {name for name, _ in REFUSED}


ACCEPTED = [
    ("AIRKILN_EFS_HOST", "fs-0123456789abcdef0.efs.eu-west-1.amazonaws.com"),
    ("AIRKILN_EFS_ID", "fs-0123456789abcdef0"),
    ("AIRKILN_POOLS", '{"default": {"slots": 4, "queues": ["default"]}}'),
    ("AIRKILN_RETENTION_DAYS", "90"),
    ("AIRKILN_WEB_PUBLIC_PORT", "0"),
    ("AIRKILN_WEB_PUBLIC_PORT", "9443"),
    ("AIRKILN_WEB_TRUSTED_PROXIES", "10.20.0.0/16"),
]


@pytest.mark.parametrize(("name", "value"), ACCEPTED)
def test_what_a_component_follows_is_accepted(name: str, value: str) -> None:
    assert check(**{name: value}) == []


@pytest.mark.parametrize(("name", "value"), [*ACCEPTED, *REFUSED])
def test_retention_and_pools_are_read_as_they_are_checked(name: str, value: str) -> None:
    readers = {retention.DAYS: retention.days, pools.VARIABLE: pools.parse}
    if name in readers:
        accepted = (name, value) in ACCEPTED
        try:
            readers[name]({name: value})
        except RefusedError:
            assert not accepted
        else:
            assert accepted


@pytest.fixture
def tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script of the EFS tunnel on a host in eu-west-1."""
    loader = importlib.machinery.SourceFileLoader("efs_tunnel_configure", str(TUNNEL))
    specification = importlib.util.spec_from_loader(loader.name, loader)
    assert specification is not None
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    for name in ("ENVIRONMENT", "INSTANCE", "TEMPLATE"):
        monkeypatch.setattr(module, name, tmp_path / name)
    (tmp_path / "INSTANCE").write_text('{"region": "eu-west-1"}')
    (tmp_path / "TEMPLATE").write_text("connect = @EFS_HOST@:2049\n")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return module


@pytest.mark.parametrize(("name", "value"), [each for each in [*ACCEPTED, *REFUSED] if "EFS" in each[0]])
def test_the_tunnel_follows_what_is_accepted_and_nothing_else(
    tunnel: ModuleType, tmp_path: Path, name: str, value: str
) -> None:
    (tmp_path / "ENVIRONMENT").write_text(f'{name}="{value}"\n')
    if (name, value) in ACCEPTED:
        tunnel.main()
        return
    with pytest.raises(SystemExit) as left:
        tunnel.main()
    assert left.value.code == tunnel.FAIL


def test_the_public_port_and_the_port_of_the_api_are_two() -> None:
    assert len(check(AIRKILN_WEB_PUBLIC_PORT="8080")) == 1
    assert len(check(AIRFLOW__API__PORT="8081")) == 1
    assert len(check(AIRFLOW__API__PORT="9000", AIRKILN_WEB_PUBLIC_PORT="9000")) == 1
    assert check(AIRFLOW__API__PORT="8081", AIRKILN_WEB_PUBLIC_PORT="8080") == []
    assert check(AIRFLOW__API__PORT="8081", AIRKILN_WEB_PUBLIC_PORT="0") == []
