"""What stands before Airflow's web application."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airkiln_airflow.attempts import LIMIT
from airkiln_airflow.door import DOCUMENTATION, Door, Settings
from airkiln_airflow.proxies import Proxies

INTERNAL, PUBLIC = 8080, 8081
LOAD_BALANCER = "10.20.0.9"
SETTINGS = Settings(Proxies.parse("10.20.0.0/16"), PUBLIC)
PREFIXED = Settings(Proxies.parse("10.20.0.0/16"), PUBLIC, "/airflow")


class Airflow:
    """An application that answers everything, and remembers what it was asked."""

    def __init__(self, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        self.status, self.headers = status, list(headers)
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, _receive: object, send: Any) -> None:  # noqa: ANN401
        self.asked.append(dict(scope))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"Airflow"})


class Answer:
    """What a client receives."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.kind = sent[0]["type"]
        self.status = sent[0].get("status")
        self.headers: list[tuple[bytes, bytes]] = sent[0].get("headers", [])
        self.body = b"".join(each.get("body", b"") for each in sent[1:])

    def all(self, name: bytes) -> list[bytes]:
        return [value for given, value in self.headers if given == name]


def ask(door: Door, path: str = "/", **more: Any) -> Answer:  # noqa: ANN401
    """Ask as a load balancer does, whose client came by TLS; `more` is different."""
    headers = [(b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https")]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "client": (LOAD_BALANCER, 40000),
        "server": ("10.20.48.5", PUBLIC),
        "headers": headers,
    }
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:  # noqa: ANN401
        sent.append(message)

    asyncio.run(door(scope | more, None, send))
    return Answer(sent)


def forwarded(door: Door, path: str = "/", **more: Any) -> Answer:  # noqa: ANN401
    """Ask through a forwarded port of localhost, without TLS."""
    return ask(door, path, client=("127.0.0.1", 40000), server=("127.0.0.1", INTERNAL), headers=[], **more)


class TestTaskExecutionApi:
    @pytest.mark.parametrize(
        "path", ["/execution", "/execution/", "/execution/health", "/execution/task-instances/1/run"]
    )
    def test_the_public_port_has_none(self, path: str) -> None:
        airflow = Airflow()
        assert ask(Door(airflow, SETTINGS), path).status == 404
        assert airflow.asked == []

    @pytest.mark.parametrize("path", ["/execution/health", "/airflow/execution/health", "/airflow/execution"])
    def test_nor_below_a_prefix(self, path: str) -> None:
        airflow = Airflow()
        assert ask(Door(airflow, PREFIXED), path).status == 404
        assert airflow.asked == []

    def test_a_websocket_is_closed(self) -> None:
        assert ask(Door(Airflow(), SETTINGS), "/execution/x", type="websocket", scheme="ws").kind == (
            "websocket.close"
        )

    def test_the_other_port_serves_it_to_workers(self) -> None:
        answer = ask(Door(Airflow(), SETTINGS), "/execution/health", server=("10.20.48.5", INTERNAL))
        assert answer.body == b"Airflow"

    @pytest.mark.parametrize("path", ["/", "/executions", "/dags/execution/runs", "/airflowexecution/x"])
    def test_what_only_sounds_like_it_is_served(self, path: str) -> None:
        assert ask(Door(Airflow(), PREFIXED), path).body == b"Airflow"

    def test_where_no_second_port_is_wanted_every_port_serves_it(self) -> None:
        assert ask(Door(Airflow(), Settings()), "/execution/health").body == b"Airflow"


class TestDocumentation:
    @pytest.mark.parametrize("path", sorted(DOCUMENTATION))
    @pytest.mark.parametrize("prefix", ["", "/airflow"])
    def test_it_is_not_there(self, path: str, prefix: str) -> None:
        door = Door(Airflow(), Settings(prefix=prefix))
        assert {ask(door, prefix + path).status, ask(door, f"{prefix}{path}/").status} == {404}

    def test_it_is_where_a_setting_wants_it(self) -> None:
        assert ask(Door(Airflow(), Settings(documented=True)), "/docs").body == b"Airflow"

    def test_a_question_for_its_head_has_no_body(self) -> None:
        answer = ask(Door(Airflow(), SETTINGS), "/docs", method="HEAD")
        assert (answer.status, answer.body) == (404, b"")


class TestBrowsers:
    def test_a_browser_that_came_by_tls_stays_on_it(self) -> None:
        answer = ask(Door(Airflow(200, (b"Set-Cookie", b"session=x; Path=/")), SETTINGS))
        assert answer.all(b"set-cookie") == [b"session=x; Path=/; Secure"]
        assert answer.all(b"strict-transport-security") == [b"max-age=31536000"]

    def test_a_forwarded_port_goes_on_to_work_without(self) -> None:
        answer = forwarded(Door(Airflow(200, (b"set-cookie", b"session=x; Path=/")), SETTINGS))
        assert answer.all(b"set-cookie") == [b"session=x; Path=/"]
        assert answer.all(b"strict-transport-security") == []

    @pytest.mark.parametrize(
        "cookie", [b"_token=x; Secure", b"_token=x; secure; HttpOnly", b"_token=;SECURE"]
    )
    def test_a_cookie_is_marked_once(self, cookie: bytes) -> None:
        assert ask(Door(Airflow(200, (b"set-cookie", cookie)), SETTINGS)).all(b"set-cookie") == [cookie]

    def test_a_cookie_called_secure_is_marked_too(self) -> None:
        door = Door(Airflow(200, (b"set-cookie", b"secure"), (b"set-cookie", b"a=Secure")), SETTINGS)
        assert ask(door).all(b"set-cookie") == [b"secure; Secure", b"a=Secure; Secure"]

    @pytest.mark.parametrize("asked", [ask, forwarded])
    def test_a_page_is_what_it_says_and_in_no_frame_of_others(self, asked: Any) -> None:  # noqa: ANN401
        answer = asked(Door(Airflow(200, (b"X-Frame-Options", b"ALLOWALL")), SETTINGS))
        assert answer.all(b"x-frame-options") == [b"SAMEORIGIN"]
        assert answer.all(b"x-content-type-options") == [b"nosniff"]

    def test_an_answer_of_the_door_is_protected_as_well(self) -> None:
        answer = ask(Door(Airflow(), SETTINGS), "/docs")
        assert answer.all(b"x-content-type-options") == [b"nosniff"]
        assert answer.all(b"strict-transport-security") == [b"max-age=31536000"]


LOGINS = [
    "/auth/token",
    "/auth/token/cli",
    "/auth/api/v1/security/login",
    "/airflow/auth/token",
    "/auth/token/",
]


class TestLogins:
    @pytest.mark.parametrize("path", LOGINS)
    def test_guesses_end_where_the_limit_is(self, path: str) -> None:
        airflow = Airflow(401)
        door = Door(airflow, PREFIXED)
        assert [ask(door, path, method="POST").status for _ in range(LIMIT)] == [401] * LIMIT
        refused = ask(door, path, method="POST")
        assert (refused.status, len(airflow.asked)) == (429, LIMIT)
        assert 0 < int(refused.all(b"retry-after")[0]) <= 40
        assert "failed logins" in json.loads(refused.body)["detail"]

    def test_all_addresses_share_the_limit(self) -> None:
        door = Door(Airflow(401), PREFIXED)
        statuses = [ask(door, path, method="POST").status for path in [*LOGINS, LOGINS[0]]]
        assert statuses == [401] * LIMIT + [429]

    def test_another_client_of_the_same_load_balancer_is_not_locked_out(self) -> None:
        door = Door(Airflow(401), SETTINGS)
        for _ in range(LIMIT + 1):
            ask(door, "/auth/token", method="POST")
        other = [(b"x-forwarded-for", b"203.0.113.8")]
        assert ask(door, "/auth/token", method="POST", headers=other).status == 401

    @pytest.mark.parametrize("status", [201, 500, 503])
    def test_what_is_no_wrong_password_is_not_counted(self, status: int) -> None:
        door = Door(Airflow(status), SETTINGS)
        assert {ask(door, "/auth/token", method="POST").status for _ in range(3 * LIMIT)} == {status}

    def test_other_requests_are_not_limited(self) -> None:
        door = Door(Airflow(401), SETTINGS)
        assert {ask(door, "/auth/token").status for _ in range(3 * LIMIT)} == {401}
        assert {ask(door, "/api/v2/dags", method="POST").status for _ in range(3 * LIMIT)} == {401}


def test_airflow_sees_the_client_and_its_scheme() -> None:
    airflow = Airflow()
    ask(Door(airflow, SETTINGS), "/dags")
    (seen,) = airflow.asked
    assert (seen["client"][0], seen["scheme"], seen["headers"]) == ("203.0.113.7", "https", [])


def test_what_is_not_a_request_goes_to_the_application() -> None:
    airflow = Airflow()
    ask(Door(airflow, SETTINGS), type="lifespan")
    assert [scope["type"] for scope in airflow.asked] == ["lifespan"]
