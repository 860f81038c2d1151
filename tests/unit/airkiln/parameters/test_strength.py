"""Secrets that a person typed in place of a drawn one are refused, and drawn ones are not."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from airkiln import roles
from airkiln.parameters import rules, strength
from airkiln.parameters.names import bad_name_reason
from airkiln.parameters.rules import Parameter


def check(name: str, value: str, *, allowed: str = "") -> list[str]:
    """The problems of one parameter; `allowed` is the value of the one that allows an unverified database."""
    others = [Parameter(rules.UNVERIFIED, allowed, rules.UNVERIFIED)] if allowed else []
    return rules.check([Parameter(name, value, name), *others], None, {})


WEAK = [
    "aaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abababababababab",
    "abcdefghabcdefghabcdefgh",
    "0123456789abcdef0123456789abcdef",
    "1234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "airflowairflowairflow",
    "Airflow-Airflow-2026",
    "changeme-changeme-changeme",
    "P4ssw0rd-P4ssw0rd-1",
    "qwertyuiopasdfghjklzxcvbnm",
    "supersecretsupersecret!",
]
OUR_PASSWORDS = [
    "AIRKILN_ADMIN_PASSWORD",
    "AIRKILN_ADMIN_DATABASE_PASSWORD",
    "AIRKILN_CONTROLLER_DATABASE_PASSWORD",
    "AIRKILN_LIFECYCLE_PASSWORD",
]


@pytest.mark.parametrize("name", [roles.JWT_KEY, roles.API_KEY, *OUR_PASSWORDS])
@pytest.mark.parametrize("value", WEAK)
def test_a_long_but_weak_secret_is_refused(name: str, value: str) -> None:
    assert len(check(name, value)) == 1


@pytest.mark.parametrize("value", [*WEAK, "airflow1", "Passw0rd!", "short"])
@pytest.mark.parametrize("name", [roles.DATABASE, roles.RESULT_BACKEND, roles.BROKER])
def test_a_long_but_weak_password_of_a_connection_is_refused(name: str, value: str) -> None:
    prefix = "db+" if name == roles.RESULT_BACKEND else ""
    assert len(check(name, f"{prefix}postgresql://service:{value}@db/airflow")) == 1


@pytest.mark.parametrize("value", ["Airflow2026!", "Admin123456!", "Password1234", "orange", "aaaaaaaaaaaa"])
@pytest.mark.parametrize("name", OUR_PASSWORDS)
def test_a_weak_password_of_an_administrator_is_refused(name: str, value: str) -> None:
    assert len(check(name, value)) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"a" * 32,
        bytes(range(32)),
        b"ab" * 16,
        b"airflowairflowairflowairflow1234",
        b"0123456789abcdef0123456789abcdef",
        b"changeme-changeme-changeme-12345",
    ],
)
def test_a_fernet_key_made_of_text_is_refused(raw: bytes) -> None:
    assert len(check(roles.FERNET_KEY, base64.urlsafe_b64encode(raw).decode())) == 1


def test_drawn_secrets_are_accepted() -> None:
    draws: tuple[Callable[[], str], ...] = (
        partial(secrets.token_hex, 32),
        partial(secrets.token_hex, 16),
        partial(secrets.token_urlsafe, 24),
        partial(secrets.token_urlsafe, 12),
        lambda: base64.b64encode(secrets.token_bytes(24)).decode(),
    )
    for draw in draws:
        for _ in range(500):
            value = draw()
            assert strength.weak_password_reason(value) is None
            if len(value) >= 32:
                assert strength.weak_key_reason(value) is None
    for _ in range(500):
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        assert strength.weak_fernet_reason(key) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH_ROLE_PUBLIC", "Admin"),
        ("AIRFLOW__FAB__AUTH_ROLE_PUBLIC", "Viewer"),
        ("AUTH_USER_REGISTRATION_ROLE", "Admin"),
        ("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True"),
        ("AIRFLOW__FAB__AUTH_BACKENDS", "airflow.api.auth.backend.default"),
        ("AIRFLOW__API__AUTH_BACKENDS", "a.b,airflow.api.auth.backend.default"),
        ("AIRKILN_WEB_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("AIRKILN_WEB_TRUSTED_PROXIES", "10.0.0.0/8, ::/0"),
        ("AIRKILN_WEB_TRUSTED_PROXIES", "*"),
    ],
)
def test_a_setting_that_needs_no_login_is_refused(name: str, value: str) -> None:
    (problem,) = check(name, value)
    assert problem.startswith(f"{name}: the value ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH_ROLE_PUBLIC", "Public"),
        ("AUTH_USER_REGISTRATION_ROLE", "Viewer"),
        ("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False"),
        ("AIRFLOW__FAB__AUTH_BACKENDS", "airflow.providers.fab.auth_manager.api.auth.backend.session"),
        ("AIRKILN_WEB_TRUSTED_PROXIES", "10.20.0.0/16, 10.30.0.0/16"),
        ("AIRKILN_WEB_TRUSTED_PROXIES", ""),
    ],
)
def test_the_same_setting_with_a_safe_value_is_accepted(name: str, value: str) -> None:
    assert check(name, value) == []


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
@pytest.mark.parametrize("option", ["sslmode", "ssl"])
@pytest.mark.parametrize("name", [roles.DATABASE, f"{roles.DATABASE}_ASYNC", roles.RESULT_BACKEND])
def test_a_database_over_the_network_in_clear_text_is_refused(name: str, option: str, mode: str) -> None:
    prefix = "db+" if name == roles.RESULT_BACKEND else ""
    url = f"{prefix}postgresql://airflow:Tq7-xwRm41@{{}}/airflow?{option}={mode}"
    (problem,) = check(name, url.format("db"))
    assert "clear text" in problem
    assert check(name, url.format("127.0.0.1")) == []
    assert check(name, url.format("db").replace(mode, "verify-full&sslrootcert=system")) == []


@pytest.mark.parametrize(
    "options",
    [
        *("", "?sslmode=require", "?sslmode=verify-ca&sslrootcert=/etc/airkiln/database-authority.pem"),
        *("?sslmode=verify-full", "?ssl=require", "?ssl=verify-ca"),
    ],
)
@pytest.mark.parametrize("name", [roles.DATABASE, f"{roles.DATABASE}_ASYNC", roles.RESULT_BACKEND])
def test_a_connection_that_verifies_no_certificate_is_refused_unless_one_parameter_allows_it(
    name: str, options: str
) -> None:
    prefix = "db+" if name == roles.RESULT_BACKEND else ""
    url = f"{prefix}postgresql://airflow:Tq7-xwRm41@{{}}/airflow{options}"
    (problem,) = check(name, url.format("db"))
    assert "sslmode=verify-full&sslrootcert=/etc/airkiln/database-authority.pem" in problem
    assert rules.UNVERIFIED in problem
    assert check(name, url.format("db"), allowed="allowed") == []
    assert check(name, url.format("127.0.0.1")) == []


def test_what_allows_it_has_one_value_and_never_allows_clear_text() -> None:
    url = "postgresql://airflow:Tq7-xwRm41@db/airflow?sslmode=disable"
    assert len(check(roles.DATABASE, url, allowed="allowed")) == 1
    assert len(check(rules.UNVERIFIED, "yes")) == 1
    assert len(check(roles.DATABASE, url.replace("disable", "require"), allowed="yes")) == 2


LOADED = [
    "AIRKILN_GATE",
    "AIRKILN_EPOCH",
    "AIRKILN_QUEUES",
    "AIRKILN_VERSION",
    "AWS_CONFIG_FILE",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_DATA_PATH",
    "BOTO_CONFIG",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "OPENSSL_ENGINES",
    "SSLKEYLOGFILE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PGPASSFILE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGHOST",
    "PGOPTIONS",
    "PGPORT",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_GLOBAL",
    "GIT_EXEC_PATH",
    "SSH_ASKPASS",
    "PERL5LIB",
    "PERL5OPT",
    "NODE_OPTIONS",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "CELERY_CONFIG_MODULE",
    "CELERY_LOADER",
    "C_FORCE_ROOT",
    "GUNICORN_CMD_ARGS",
    "UVICORN_FACTORY",
    "FLASK_APP",
    "FORWARDED_ALLOW_IPS",
    "HOSTALIASES",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "TMPDIR",
    "TZDIR",
    "XDG_CONFIG_HOME",
    "SHELLOPTS",
    "PS4",
    "PROMPT_COMMAND",
    "LD_AUDIT",
    "GLIBC_TUNABLES",
    "PYTHONSTARTUP",
]
"""Variables that change which code, keys, endpoints or files a process loads, or that Airkiln sets."""


@pytest.mark.parametrize("name", LOADED)
def test_a_name_that_changes_what_a_process_loads_is_refused(name: str) -> None:
    (problem,) = check(name, "x")
    assert "the name is refused" in problem


SETTINGS = [
    "AIRKILN_POOLS",
    "AIRKILN_EFS_ID",
    "AIRKILN_EFS_HOST",
    "AIRKILN_WEB_PUBLIC_PORT",
    "AIRKILN_ADMIN_EMAIL",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SSM",
    "REQUESTS_CA_BUNDLE",
    "TZ",
    "LANG",
    "HTTPS_PROXY",
    "GITHUB_TOKEN",
    "PGX_NAME",
]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_name_of_a_setting_of_an_environment_is_accepted(name: str) -> None:
    assert bad_name_reason(name) is None


def test_every_parameter_that_a_deployment_writes_may_be_called_so() -> None:
    written = (Path(__file__).parents[4] / "playbooks/vars/airflow_parameters.yml").read_text("utf-8")
    names = set(re.findall(r"\b(?:AIRFLOW__|AIRKILN_|AWS_)[A-Z_]+\b", written))
    assert len(names) > 30
    assert {name: reason for name in sorted(names) if (reason := bad_name_reason(name))} == {}
