"""The credentials over HTTP, as AWS's own SDK asks for them."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.session
import pytest

from airkiln.credentials import PATH, checked, variables
from airkiln.credentials.server import Server
from airkiln.errors import RefusedError
from airkiln.host.layout import Layout

TOKEN = "0123456789abcdef"
SOON = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
DOCUMENT = json.dumps(
    {
        "RoleArn": "arn:aws:iam::123456789012:role/tasks",
        "AccessKeyId": "AKIAEXAMPLE",
        "SecretAccessKey": "secret",
        "Token": "session",
        "Expiration": SOON,
    }
)


@pytest.fixture
def documents() -> list[str | None]:
    """What the server hands out: the last entry."""
    return [DOCUMENT]


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "task-token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def url(token: Path, documents: list[str | None]) -> Iterator[str]:
    server = Server(token, lambda: documents[-1], ("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def status(address: str, authorization: str | None = TOKEN) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_botocore_takes_them(url: str, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    given = variables(Layout()) | {
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}{PATH}",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = botocore.session.get_session().get_credentials()
    assert found is not None
    assert found.method == "container-role"
    frozen = found.get_frozen_credentials()
    assert (frozen.access_key, frozen.secret_key, frozen.token) == ("AKIAEXAMPLE", "secret", "session")


@pytest.mark.parametrize("authorization", [None, "", "wrong", TOKEN[:-1], f"{TOKEN}x", "ü"])
def test_nobody_gets_them_without_the_token(url: str, authorization: str | None) -> None:
    assert status(f"{url}{PATH}", authorization and authorization.encode().decode("latin-1")) == 401


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_token_admits_nobody(url: str, token: Path, content: str) -> None:
    token.write_text(content)
    assert status(f"{url}{PATH}", "") == 401


def test_another_path_has_none(url: str) -> None:
    assert status(f"{url}/") == 404


def test_while_there_are_none_the_answer_is_that_it_may_be_asked_again(
    url: str, documents: list[str | None]
) -> None:
    documents.append(None)
    assert status(f"{url}{PATH}") == 503


def test_airflow_is_kept_from_asking_metadata() -> None:
    assert variables(Layout())["AWS_EC2_METADATA_DISABLED"] == "true"


@pytest.mark.parametrize(
    "arn", ["arn:aws:iam::123456789012:role/a", "arn:aws-cn:iam::123456789012:role/p/a-b"]
)
def test_the_tag_names_a_role(arn: str) -> None:
    assert checked(arn) == arn


@pytest.mark.parametrize("arn", ["a", "arn:aws:iam::123456789012:user/a", "arn:aws:iam::1:role/a", "x\n"])
def test_a_tag_that_names_no_role_is_refused(arn: str) -> None:
    with pytest.raises(RefusedError, match="airkiln:task-role"):
        checked(arn)
