"""The first administrator's request, without an Airflow; that the user is made is tested where Airflow is."""

from __future__ import annotations

import pytest

from airkiln_airflow import first_admin
from airkiln_airflow.first_admin import Administrator, RefusedError, requested

WHOLE = {
    "AIRKILN_ADMIN_USERNAME": "ada",
    "AIRKILN_ADMIN_PASSWORD": "KANARI %$\"'",
    "AIRKILN_ADMIN_EMAIL": "ada@example.org",
}


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)


def test_nothing_is_asked_for_without_the_variables(capfd: pytest.CaptureFixture[str]) -> None:
    assert requested({}) is None
    assert first_admin.main() == first_admin.OK
    assert "no first administrator is asked for" in capfd.readouterr().err


def test_the_variables_are_taken_as_they_are() -> None:
    assert requested(WHOLE) == Administrator("ada", "ada@example.org", WHOLE["AIRKILN_ADMIN_PASSWORD"])
    assert "KANARI" not in repr(requested(WHOLE))


@pytest.mark.parametrize("name", WHOLE)
def test_a_part_of_the_variables_is_refused_and_the_missing_one_named(name: str) -> None:
    with pytest.raises(RefusedError, match=f"^{name}: missing"):
        requested({**WHOLE, name: ""})


def test_a_user_who_exists_is_left_alone(
    asked_for: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_admin, "exists", lambda *_: True)
    monkeypatch.setattr(first_admin, "create", lambda _: pytest.fail("must not be made again"))
    assert first_admin.main() == first_admin.OK
    assert "ada: exists already" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("failure", "code"),
    [(RuntimeError("KANARI"), first_admin.FAILED), (RefusedError("address taken"), first_admin.REFUSED)],
)
def test_a_failure_has_its_code_and_shows_no_password(
    asked_for: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    failure: Exception,
    code: int,
) -> None:
    def fail(_: Administrator) -> str:
        raise failure

    monkeypatch.setenv("AIRFLOW__LOGGING__LOGGING_LEVEL", "INFO")
    monkeypatch.setattr(first_admin, "exists", lambda *_: False)
    monkeypatch.setattr(first_admin, "create", fail)
    assert first_admin.main() == code
    assert "KANARI" not in capfd.readouterr().err
