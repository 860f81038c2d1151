"""The key of web sessions, which no worker can compute."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path

import pytest

from airkiln_airflow.web_session import PURPOSE, session_key
from rehearsal.deployment.parameters import Secrets, parameters

Options = dict[tuple[str, ...], str]
TOKENS: Options = {("api_auth", "jwt_secret"): "a secret that signs tokens"}


def configuration(options: Options) -> Callable[..., str | None]:
    """What stands in for airflow.configuration.conf.get."""

    def get(section: str, key: str, fallback: str | None = None) -> str | None:
        return options.get((section, key), fallback)

    return get


def cookie(key: str, user: str) -> str:
    """A remember_token as Flask-Login makes it."""
    return f"{user}|{hmac.digest(key.encode(), user.encode(), 'sha512').hex()}"


def test_every_web_server_of_an_environment_has_the_same_key() -> None:
    assert session_key(configuration(TOKENS)) == session_key(configuration(TOKENS))


def test_another_secret_makes_another_key() -> None:
    other: Options = {("api_auth", "jwt_secret"): "another secret that signs tokens"}
    assert session_key(configuration(TOKENS)) != session_key(configuration(other))


def test_the_key_is_not_the_secret_itself() -> None:
    assert session_key(configuration(TOKENS)) not in TOKENS.values()


def test_no_value_that_a_worker_reads_forges_a_cookie() -> None:
    made = Secrets()
    wanted = parameters(made, "https://sqs/queue")
    worker = wanted["common"] | wanted["worker"]
    server = wanted["common"] | wanted["webserver"]
    options: Options = {
        tuple(name.lower().split("__")[1:]): value for name, value in server.items() if "__" in name
    }
    key = session_key(configuration(options))
    assert key == session_key(configuration(options))
    derived = [hmac.digest(value.encode(), PURPOSE, "sha256").hex() for value in worker.values()]
    assert cookie(key, "1") not in {cookie(each, "1") for each in [*worker.values(), *derived]}


def test_a_private_key_stands_in_for_the_secret(tmp_path: Path) -> None:
    private = tmp_path / "key.pem"
    private.write_text("a private key")
    options: Options = {("api_auth", "jwt_private_key_path"): str(private)}
    assert session_key(configuration(options)) == session_key(configuration(options | TOKENS))


@pytest.mark.parametrize("options", [{}, {("api_auth", "jwt_secret"): ""}, {("api_auth", "jwt_secret"): " "}])
def test_the_database_step_has_no_secret_and_a_key_that_nobody_can_guess(
    options: Options,
) -> None:
    first, second = session_key(configuration(options)), session_key(configuration(options))
    assert first != second
    assert {len(first), len(second)} == {64}
