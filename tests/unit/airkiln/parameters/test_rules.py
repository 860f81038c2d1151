"""What a parameter may be called and may hold."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airkiln import roles
from airkiln.parameters import names, rules
from airkiln.parameters.rules import Parameter
from airkiln.roles import ROLES, Role

GOOD_FERNET = "XZnrGPVYDsk-7FhfA3fqKkgfgQMMVz8mCPGmqkLcyZk="
GOOD_SECRET = "c2e8a7105f9b64d3be07f1859ac2d64e"
VERIFIED = "sslmode=verify-full&sslrootcert=system"
"""Options with which a connection verifies the server's certificate by the system's own authorities."""
GOOD = {
    roles.DATABASE: f"postgresql+psycopg2://airflow:Tq7-xwRm41@db/airflow?{VERIFIED}",
    roles.FERNET_KEY: GOOD_FERNET,
    roles.JWT_KEY: GOOD_SECRET,
    roles.API_KEY: GOOD_SECRET[::-1],
    roles.EXECUTION_API: "http://web:8080/execution/",
    roles.BROKER: "sqs://",
    roles.RESULT_BACKEND: f"db+postgresql://airflow:Tq7-xwRm41@db/airflow?{VERIFIED}",
}


def check(
    values: dict[str, str], role: Role | None = None, settled: dict[str, str] | None = None
) -> list[str]:
    parameters = [Parameter(name, value, f"/airkiln/prod/common/{name}") for name, value in values.items()]
    return rules.check(parameters, role, settled or {})


@pytest.mark.parametrize("name", ROLES)
def test_a_good_environment_is_accepted_for_every_role(name: str) -> None:
    assert check(GOOD, ROLES[name]) == []


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A.B", "Ä", "A=", "A\n", "A/B"])
def test_a_name_that_is_no_environment_variable_is_refused(name: str) -> None:
    assert names.bad_name_reason(name) is not None


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "PYTHONHOME", "BASH_ENV", "AIRFLOW_HOME", "IFS"],
)
def test_a_name_that_changes_how_programs_load_is_refused(name: str) -> None:
    assert "refused" in (names.bad_name_reason(name) or "")


@pytest.mark.parametrize(
    "name", [*GOOD, "AIRFLOW_CONN_X", "http_proxy", "_x", "PYTHONUNBUFFERED", "MY_PATH", "TZ"]
)
def test_an_ordinary_name_is_accepted(name: str) -> None:
    assert names.bad_name_reason(name) is None


@pytest.mark.parametrize(
    "value", ["a\nb", "a\n", "a\r\n", "a\0b", "a\rb", "\ud800", "\ufdd0", "\uffff", "\U0010ffff"]
)
def test_a_value_that_systemd_would_not_hand_on_is_refused(value: str) -> None:
    assert rules.unusable_reason(value) is not None


def test_a_value_of_8_kilobytes_is_accepted_and_one_byte_more_is_not() -> None:
    assert rules.unusable_reason("é" * 4096) is None
    assert "8193 bytes" in (rules.unusable_reason("é" * 4096 + "x") or "")


def test_more_than_a_process_can_be_given_is_refused() -> None:
    values = {f"V{number}": "x" * 8000 for number in range(200)}
    assert [problem for problem in check(values) if "no program starts" in problem]
    assert check(dict(list(values.items())[:150])) == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        "airflow",
        "temporary_key",
        "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=",
        f"{GOOD_FERNET},46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=",
        f"{GOOD_FERNET},",
        GOOD_FERNET[:-1],
        GOOD_FERNET + "x",
        base64.urlsafe_b64encode(b"short").decode(),
        base64.urlsafe_b64encode(bytes(32)).decode(),
        "ключ",
    ],
)
def test_a_weak_or_broken_fernet_key_is_refused(value: str) -> None:
    assert len(check({roles.FERNET_KEY: value})) == 1


def test_a_fernet_key_and_its_predecessors_are_accepted_for_rotation() -> None:
    older = base64.urlsafe_b64encode(os.urandom(32)).decode()
    assert check({roles.FERNET_KEY: f"{GOOD_FERNET},{older}"}) == []
    assert check({roles.FERNET_KEY: f"{GOOD_FERNET}, {older}"}) == []


@given(st.binary(min_size=32, max_size=32).filter(lambda raw: len(set(raw)) > 20))
def test_every_key_that_fernet_makes_is_accepted(raw: bytes) -> None:
    assert check({roles.FERNET_KEY: base64.urlsafe_b64encode(raw).decode()}) == []


@pytest.mark.parametrize("name", [roles.JWT_KEY, roles.API_KEY])
@pytest.mark.parametrize(
    "value", ["", "airflow", "Airflow_JWT_Secret", "temporary_key", " secret ", "tooshort"]
)
def test_a_weak_secret_is_refused(name: str, value: str) -> None:
    assert len(check({name: value})) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (roles.DATABASE, "postgresql+psycopg2://airflow:airflow@postgres/airflow"),
        (roles.DATABASE, "postgresql://airflow:%61irflow@postgres/airflow"),
        (roles.DATABASE, "postgresql://airflow:@postgres/airflow"),
        (roles.DATABASE, ""),
        (roles.DATABASE, "postgresql://a:b@[x/y"),
        (roles.RESULT_BACKEND, "db+postgresql://airflow:airflow@postgres/airflow"),
        (roles.BROKER, "amqp://guest:password@mq//"),
    ],
)
def test_a_connection_with_a_known_password_is_refused(name: str, value: str) -> None:
    assert len(check({name: value})) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (roles.DATABASE, "postgresql+psycopg2://airflow@/airflow?host=/run/postgresql"),
        (roles.DATABASE, f"postgresql://airflow@db/airflow?{VERIFIED}"),
        (roles.BROKER, "sqs://"),
        (roles.BROKER, "redis://:@redis:6379/0"),
    ],
)
def test_a_connection_without_a_password_is_accepted(name: str, value: str) -> None:
    assert check({name: value}) == []


def test_the_first_administrators_password_must_not_be_a_default() -> None:
    assert len(check({"AIRKILN_ADMIN_PASSWORD": "admin"})) == 1
    assert check({"AIRKILN_ADMIN_PASSWORD": "orange-lamp-9"}) == []


@pytest.mark.parametrize("role", ROLES.values(), ids=str)
def test_every_missing_parameter_is_named(role: Role) -> None:
    problems = check({roles.EXECUTOR: "CeleryExecutor"}, role)
    assert [problem.split(":")[0] for problem in problems] == [*role.required, *role.required_with_celery]


def test_a_broker_is_needed_only_where_celery_runs_the_tasks() -> None:
    without = {
        name: value for name, value in GOOD.items() if name not in (roles.BROKER, roles.RESULT_BACKEND)
    }
    assert check({**without, roles.EXECUTOR: "LocalExecutor"}, ROLES["all"]) == []
    assert len(check({**without, roles.EXECUTOR: "CeleryExecutor"}, ROLES["all"])) == 2


def test_what_the_image_settles_is_not_missing() -> None:
    assert check({}, ROLES["webserver"], settled=GOOD) == []


def test_what_airflow_fetches_itself_is_not_missing() -> None:
    values = {name: value for name, value in GOOD.items() if name not in (roles.FERNET_KEY, roles.JWT_KEY)}
    values[f"{roles.FERNET_KEY}_CMD"] = "cat /x"
    values["AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH"] = "/x"
    assert check(values, ROLES["webserver"]) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A", "KANARI\nx"),
        ("A", "KANARI\0x"),
        ("A", "KANARI" + "x" * 9000),
        ("A", "KANARI\uffff"),
        ("NOT-A-NAME", "KANARI"),
        ("PATH", "KANARI"),
        (roles.FERNET_KEY, "KANARI"),
        (roles.JWT_KEY, "KANARI"),
        (roles.DATABASE, "postgresql://KANARI:@[KANARI"),
        (roles.DATABASE, "postgresql://KANARI:secret@KANARI/x"),
    ],
)
def test_a_problem_names_the_parameter_and_never_its_value(name: str, value: str) -> None:
    problems = check({name: value})
    assert len(problems) == 1
    assert problems[0].startswith(f"/airkiln/prod/common/{name}: ")
    assert "KANARI" not in problems[0]


def test_a_parameter_shows_no_value_when_it_is_printed() -> None:
    assert "KANARI" not in repr(Parameter("A", "KANARI", "/a/A"))


@pytest.mark.parametrize(
    "of_workers", [roles.API_KEY, "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD", "AIRKILN_LIFECYCLE_PASSWORD"]
)
@pytest.mark.parametrize(
    ("other", "form"),
    [
        (roles.JWT_KEY, "{}"),
        (roles.FERNET_KEY, "{}"),
        (roles.FERNET_KEY, "a-newer-key,{}"),
        ("AIRKILN_ADMIN_PASSWORD", "{}"),
        ("AIRKILN_ADMIN_DATABASE_PASSWORD", "{}"),
        ("AIRKILN_CONTROLLER_DATABASE_PASSWORD", "{}"),
        (roles.DATABASE, "postgresql+psycopg://airflow:{}@db.internal:5432/airflow?sslmode=require"),
    ],
)
def test_a_secret_that_tasks_can_read_must_not_be_another_one_as_well(
    of_workers: str, other: str, form: str
) -> None:
    secret = "gUJ2yhHlKuNJbpUSuL2hBXZpNq7Tn3cY"
    found = [each for each in check({of_workers: secret, other: form.format(secret)}) if "same value" in each]
    assert [each.partition(" have")[0] for each in found] == [f"{of_workers} and {other}"]
    assert secret not in found[0]
    different = check({of_workers: secret, other: form.format(secret[::-1])})
    assert not any("same value" in each for each in different)


def test_a_workers_own_login_is_its_own() -> None:
    secret = "gUJ2yhHlKuNJbpUSuL2hBXZpNq7Tn3cY"
    url = f"postgresql+psycopg://airflow_worker:{secret}@db.internal:5432/airflow?sslmode=require"
    found = check({"AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD": secret, roles.DATABASE: url})
    assert not any("same value" in each for each in found)


@pytest.mark.parametrize("value", ["", "  "])
@pytest.mark.parametrize("name", [roles.DATABASE, roles.RESULT_BACKEND, roles.BROKER])
def test_an_empty_connection_is_refused_for_being_empty(name: str, value: str) -> None:
    (problem,) = check({name: value})
    assert "the connection is empty" in problem


@pytest.mark.parametrize(
    ("user", "password"),
    [("service", ""), ("service", "changeme"), ("Tq7-xwRm41Kz", "Tq7-xwRm41Kz")],
    ids=["empty", "a default", "the user's name"],
)
def test_the_password_of_a_verified_connection_is_refused_for_being_known(user: str, password: str) -> None:
    (problem,) = check({roles.DATABASE: f"postgresql://{user}:{password}@db/airflow?{VERIFIED}"})
    assert "is empty, a default or a published example" in problem


def test_each_of_several_brokers_needs_a_password_that_is_not_known() -> None:
    good = "amqp://service:Tq7-xwRm41Kz@mq1//"
    assert check({roles.BROKER: f"{good};{good}"}) == []
    (problem,) = check({roles.BROKER: f"{good};amqp://service:guest@mq2//"})
    assert "is empty, a default or a published example" in problem


def test_results_in_redis_are_no_connection_to_a_database() -> None:
    assert check({roles.RESULT_BACKEND: "redis://:Tq7-xwRm41Kz@redis:6379/1"}) == []


@pytest.mark.parametrize("value", ["$HOME and more", "~/x", "db+postgresql://airflow:airflow@db"])
def test_what_airflow_does_not_read_may_hold_what_airflow_would_misread(value: str) -> None:
    assert check({"MY_NAME": value}) == []


def test_a_permission_that_another_value_overrides_is_no_problem_of_its_own() -> None:
    both = [Parameter(rules.UNVERIFIED, value, value) for value in (rules.ALLOWED, "yes")]
    (problem,) = rules.check(both, None, {})
    assert problem.startswith("yes: the value is not 'allowed'")


def test_the_files_of_certificates_are_those_that_connections_name_each_with_its_first_variable() -> None:
    url = "postgresql://airflow@db/airflow?sslmode=verify-full&sslrootcert="
    values = {
        roles.DATABASE: f"{url}/etc/a.pem",
        f"{roles.DATABASE}_ASYNC": f"{url}/etc/a.pem",
        roles.RESULT_BACKEND: f"db+{url}system",
        "MY_NAME": f"{url}/etc/b.pem",
    }
    assert rules.authorities(values) == {"/etc/a.pem": roles.DATABASE}
