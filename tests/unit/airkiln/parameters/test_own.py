"""What Airkiln's own parameters may hold: the boot refuses what the program that follows it would refuse."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airkiln import receivers, roles
from airkiln.boot import changes
from airkiln.database import prepare, retention
from airkiln.errors import RefusedError
from airkiln.parameters import load, own, rules
from airkiln.parameters.rules import Parameter
from airkiln.pools import settings as pools
from airkiln_airflow import fab_users
from airkiln_deploy.settings import problems

ROOT = Path(__file__).parents[4]
TUNNEL = ROOT / "roles/efs/files/usr/lib/airkiln/efs-tunnel-configure"


def check(**values: str) -> list[str]:
    return rules.check([Parameter(name, value, name) for name, value in values.items()], None, {})


def named_in(*folders: str) -> set[str]:
    """Every name of a variable of Airkiln's own in these folders."""
    return {
        name
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".j2", ".yml", ".yaml", "")
        for name in re.findall(r"\bAIRKILN_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }


def test_every_variable_of_the_programs_and_the_stacks_is_a_parameter_or_set_by_airkiln() -> None:
    of_the_release_file = {"AIRKILN_VERSION"}
    found = named_in("src/airkiln", "src/airkiln_airflow", "src/airkiln_deploy", "roles")
    assert found == set(own.VALUES) | own.SET_BY_AIRKILN
    assert named_in("cloudformation", "playbooks") - of_the_release_file <= set(own.VALUES)
    assert not own.SET_BY_AIRKILN & set(own.VALUES)


@pytest.mark.parametrize("table", [changes.READERS, receivers.RECEIVERS, dict.fromkeys(load.ROOT_PREFIXES)])
def test_every_entry_of_a_table_stands_for_a_variable_that_exists(table: dict[str, object]) -> None:
    entries = {entry for entry in table if entry.startswith("AIRKILN_")}
    known = set(own.VALUES) | own.SET_BY_AIRKILN
    assert {entry for entry in entries if not any(name.startswith(entry) for name in known)} == set()


MISSPELLED = [
    ("AIRKILN_WEB_TRUSTED_PROXY", "AIRKILN_WEB_TRUSTED_PROXIES"),
    ("AIRKILN_RETENTION_DAY", "AIRKILN_RETENTION_DAYS"),
    ("AIRKILN_POOL", "AIRKILN_POOLS"),
    ("AIRKILN__POOLS", "AIRKILN_POOLS"),
    ("AIRKILNPOOLS", "AIRKILN_POOLS"),
    ("airkiln_pools", "AIRKILN_POOLS"),
    ("AIRKILN_ADMIN_USER", "AIRKILN_ADMIN_USERNAME"),
    ("AIRKILN_ADMIN_PASSWORD_OLD", "AIRKILN_ADMIN_PASSWORD"),
    ("AIRKILN_CONTROLLER_PASSWORD", "AIRKILN_CONTROLLER_DATABASE_PASSWORD"),
    ("AIRKILN_LIFECYCLE_PASSWORD_CMD", "AIRKILN_LIFECYCLE_PASSWORD"),
    ("AIRKILN_DATABASE_UNVERIFIABLE", "AIRKILN_DATABASE_UNVERIFIED"),
    ("AIRKILN_EFS_IDS", "AIRKILN_EFS_ID"),
]


@pytest.mark.parametrize(("name", "meant"), MISSPELLED)
def test_a_misspelled_name_is_refused_with_the_one_that_is_meant(name: str, meant: str) -> None:
    (problem,) = check(**{name: "x"})
    assert problem.startswith(f"{name}: the name is refused")
    assert problem.endswith(f"write {meant} if that is meant")
    assert len(problems({"common": {name: "x"}})) == 1


@given(st.sampled_from(sorted(own.VALUES)), st.integers(8), st.sampled_from(["", "X", "_"]))
def test_a_name_with_one_character_more_less_or_replaced_is_refused(
    name: str, place: int, letter: str
) -> None:
    place %= len(name)
    for other in (f"{name[:place]}{letter}{name[place:]}", f"{name[:place]}{letter}{name[place + 1 :]}"):
        if other not in own.VALUES and other.upper().startswith("AIRKILN"):
            assert check(**{other: "x"})


def test_a_name_that_resembles_none_is_refused_without_a_guess() -> None:
    (problem,) = check(AIRKILN_ZZZZ="x")
    assert problem.endswith("reads a parameter of this name: remove the parameter")


@pytest.mark.parametrize("name", sorted(own.SET_BY_AIRKILN))
def test_what_airkiln_sets_itself_is_refused_as_such(name: str) -> None:
    (problem,) = check(**{name: "x"})
    assert problem.endswith("because Airkiln sets this variable itself: remove the parameter")


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


OF_THE_DATABASE = (
    prepare.ADMIN_USER,
    prepare.ADMIN_PASSWORD,
    prepare.WORKER_PASSWORD,
    prepare.CONTROLLER_PASSWORD,
)
STEP = (*fab_users.ADMIN_VARIABLES, *OF_THE_DATABASE)
VALUE = "Tq7-xwRm41Kz"


def ignored_or_refused(given: dict[str, str]) -> bool:
    """Whether the database step refuses these parameters, or does not do what one of them asks for."""
    try:
        fab_users.administrator(given)
        planned = prepare.plan({**given, roles.DATABASE: "postgresql://airflow:x@db/airflow"})
    except (RefusedError, fab_users.RefusedError):
        return True
    return planned is None and bool({prepare.ADMIN_USER, prepare.WORKER_PASSWORD} & set(given))


def test_the_boot_refuses_the_parameters_of_the_database_step_that_it_could_not_follow() -> None:
    for present in itertools.product((False, True), repeat=len(STEP)):
        given = {name: VALUE for name, there in zip(STEP, present, strict=True) if there}
        assert bool(own.incomplete(given)) is ignored_or_refused(given), given
        assert own.incomplete(dict.fromkeys(STEP, "") | given) == own.incomplete(given)


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_first_administrator_without_an_address_is_refused_where_the_database_step_runs(role: str) -> None:
    given = {"AIRKILN_ADMIN_PASSWORD": VALUE, "AIRKILN_ADMIN_USERNAME": "ada"}
    parameters = [Parameter(name, value, name) for name, value in given.items()]
    found = rules.check(parameters, roles.ROLES[role], {})
    assert [each for each in found if "ADMIN" in each] == (
        [
            "AIRKILN_ADMIN_EMAIL: missing, and AIRKILN_ADMIN_PASSWORD and AIRKILN_ADMIN_USERNAME cannot be "
            "followed without it: store it too, or remove the others"
        ]
        if role in ("database", "all")
        else []
    )


def test_what_the_image_settles_counts_for_the_database_step() -> None:
    settled = {"AIRKILN_ADMIN_EMAIL": "ada@example.com", "AIRKILN_ADMIN_USERNAME": "ada"}
    password = Parameter("AIRKILN_ADMIN_PASSWORD", VALUE, "it")
    found = rules.check([password], roles.ROLES["database"], settled)
    assert not any("ADMIN" in each for each in found)
