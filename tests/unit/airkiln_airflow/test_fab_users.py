"""The users of an environment, without an Airflow; that they are created is tested where Airflow is."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airkiln.lifecycle import airflow_api
from airkiln_airflow import fab_users
from airkiln_airflow.fab_users import (
    ADMIN_VARIABLES,
    FAILED,
    OK,
    REFUSED,
    WORKER_PERMISSIONS,
    WORKER_VARIABLE,
    RefusedError,
    User,
    administrator,
    worker,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "KANARI %$\"'"
ADMIN = dict(zip(ADMIN_VARIABLES, ("ada", PASSWORD, "ada@example.org"), strict=True))
BOTH = {**ADMIN, WORKER_VARIABLE: "KANARI"}


@dataclass
class Security:
    """FAB's security manager, with the users and roles that it has."""

    users: dict[str, str] = field(default_factory=dict)
    """Addresses by name."""
    made: list[tuple[Any, ...]] = field(default_factory=list)

    def bulk_sync_roles(self, roles: list[dict[str, Any]]) -> None:
        self.made += [("role", each["role"], tuple(each["perms"])) for each in roles]

    def find_user(self, username: str = "", email: str = "") -> SimpleNamespace | None:
        known = username in self.users or email in self.users.values()
        return SimpleNamespace(id=f"id of {username}") if known else None

    def find_role(self, name: str) -> str:
        return f"role {name}"

    def reset_password(self, user: str, password: str) -> None:
        self.made.append(("password", user, password))

    def add_user(self, *given: str) -> bool:
        self.made.append(given)
        return True


@pytest.fixture
def fab(monkeypatch: pytest.MonkeyPatch) -> Security:
    """Airflow, as far as it is imported."""
    security = Security()

    @contextmanager
    def application() -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(sm=security)

    modules: dict[str, object] = {
        "airflow.providers_manager:ProvidersManager": lambda: SimpleNamespace(
            initialize_providers_configuration=lambda: None
        ),
        "airflow.providers.fab.auth_manager.cli_commands.utils:get_application_builder": application,
    }
    monkeypatch.setattr(fab_users, "resolve_name", modules.__getitem__)
    monkeypatch.setattr(fab_users, "settled", lambda *_: False)
    monkeypatch.setenv("AIRFLOW__LOGGING__LOGGING_LEVEL", "INFO")
    for name in BOTH:
        monkeypatch.delenv(name, raising=False)
    return security


@pytest.fixture
def both(fab: Security, monkeypatch: pytest.MonkeyPatch) -> Security:
    """The environment asks for both users."""
    for name, value in BOTH.items():
        monkeypatch.setenv(name, value)
    return fab


def test_without_the_variables_nothing_is_created(fab: Security, capfd: pytest.CaptureFixture[str]) -> None:
    assert fab_users.main() == OK
    assert fab.made == []
    assert capfd.readouterr().err.count("its variables are not set") == 2


def test_the_variables_are_taken_as_they_are() -> None:
    user = administrator(ADMIN)
    assert user is not None
    assert (user.username, user.email, user.password) == ("ada", "ada@example.org", PASSWORD)
    assert "KANARI" not in repr((user, worker(BOTH)))


@pytest.mark.parametrize("name", ADMIN)
def test_a_part_of_the_variables_is_refused_and_the_missing_one_named(name: str) -> None:
    with pytest.raises(RefusedError, match=f"^{name}: missing"):
        administrator({**ADMIN, name: ""})


def test_both_wheels_mean_the_same_user_and_variable() -> None:
    assert (fab_users.WORKER, WORKER_VARIABLE) == (airflow_api.USER, airflow_api.PASSWORD)


def test_the_worker_may_read_and_edit_three_things_and_nothing_else() -> None:
    assert {resource for _, resource in WORKER_PERMISSIONS} == {"DAGs", "DAG Runs", "Task Instances"}
    assert {action for action, _ in WORKER_PERMISSIONS} == {"can_read", "can_edit"}


def test_both_are_created_in_one_application(both: Security) -> None:
    assert fab_users.main() == OK
    assert both.made == [
        ("ada", "Airflow", "Administrator", "ada@example.org", "role Admin", PASSWORD),
        ("role", "AirkilnWorker", WORKER_PERMISSIONS),
        (
            "airkiln-worker",
            "Airkiln",
            "Worker",
            "airkiln-worker@localhost.invalid",
            "role AirkilnWorker",
            "KANARI",
        ),
    ]


def test_an_administrator_who_exists_keeps_the_password_and_a_worker_gets_the_new_one(
    both: Security,
) -> None:
    both.users = {"ada": "another@example.org", "airkiln-worker": "airkiln-worker@localhost.invalid"}
    assert fab_users.main() == OK
    assert both.made == [
        ("role", "AirkilnWorker", WORKER_PERMISSIONS),
        ("password", "id of airkiln-worker", "KANARI"),
    ]


def test_an_address_that_another_user_has_is_refused(
    both: Security, capfd: pytest.CaptureFixture[str]
) -> None:
    both.users = {"bob": "ada@example.org"}
    assert fab_users.main() == REFUSED
    assert "another user has the address ada@example.org" in capfd.readouterr().err


def test_users_who_are_as_wanted_need_no_airflow(
    both: Security, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fab_users, "settled", lambda *_: True)
    monkeypatch.setattr(fab_users, "create", lambda _: pytest.fail("must not be called"))
    assert fab_users.main() == OK
    assert capfd.readouterr().err.count("exists already, nothing changed") == 2


@pytest.mark.parametrize("failure", [RuntimeError("KANARI"), OSError("KANARI")])
@pytest.mark.usefixtures("both")
def test_a_failure_has_its_code_and_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], failure: Exception
) -> None:
    def fail(_: list[User]) -> list[str]:
        raise failure

    monkeypatch.setattr(fab_users, "create", fail)
    assert fab_users.main() == FAILED
    assert "KANARI" not in capfd.readouterr().err


def test_a_user_whom_fab_does_not_create_is_a_failure(
    both: Security, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(both, "add_user", lambda *_: False)
    assert fab_users.main() == FAILED
