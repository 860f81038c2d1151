"""The web server as a load balancer's clients see it, and through a forwarded port."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest

from airkiln_airflow.attempts import LIMIT
from rehearsal.chaos.bench import Bench
from rehearsal.deployment.parameters import ADMINISTRATOR, parameter

pytestmark = [pytest.mark.root, pytest.mark.image]

INTERNAL, PUBLIC = 8080, 8081
NAME = "airflow.example.com"
CSRF = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


@dataclass
class Answer:
    """What a browser receives."""

    status: int
    headers: http.client.HTTPMessage
    body: str

    @property
    def cookies(self) -> dict[str, str]:
        """The attributes of each cookie, by its name."""
        return {each.partition("=")[0]: each for each in self.headers.get_all("Set-Cookie", [])}


@dataclass
class Browser:
    """A browser behind a load balancer, which terminates its TLS and says who it is as AWS's does."""

    host: str
    port: int
    address: str
    sent: dict[str, str] = field(default_factory=dict)
    """Headers that the browser sends itself."""
    jar: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: str = "", kind: str = "") -> Answer:
        claimed = self.sent.get("X-Forwarded-For")
        headers = self.sent | {
            "Host": NAME,
            "X-Forwarded-For": f"{claimed}, {self.address}" if claimed else self.address,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Port": "443",
            "Referer": f"https://{NAME}{path}",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items()),
        }
        if kind:
            headers["Content-Type"] = kind
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            found = Answer(answer.status, answer.msg, answer.read().decode(errors="replace"))
        finally:
            connection.close()
        self.jar |= {
            name: cookie.partition("=")[2].partition(";")[0] for name, cookie in found.cookies.items()
        }
        return found

    def log_in(self, password: str) -> Answer:
        """Fill in the form of the login page."""
        page = self.ask("GET", "/auth/login/")
        (token,) = CSRF.findall(page.body)[:1]
        form = urlencode({"csrf_token": token, "username": ADMINISTRATOR, "password": password})
        return self.ask("POST", "/auth/login/", form, "application/x-www-form-urlencoded")

    def ask_for_a_token(self, password: str) -> int:
        """The status of a request for a token."""
        body = json.dumps({"username": ADMINISTRATOR, "password": password})
        return self.ask("POST", "/auth/token", body, "application/json").status


def browser(bench: Bench, address: str, **sent: str) -> Browser:
    named = {f"X-Forwarded-{name}": value for name, value in sent.items()}
    return Browser(bench.cluster.webserver.address, PUBLIC, address, named)


def password() -> str:
    return parameter("database/AIRKILN_ADMIN_PASSWORD")


def test_a_redirect_leads_to_https_and_to_no_host_that_the_browser_names(bench: Bench) -> None:
    answer = browser(bench, "203.0.113.1", Host="evil.example.com").ask("GET", "/auth/users/list")
    assert answer.headers["Location"] == f"https://{NAME}/auth/users/list/"


def test_the_cookies_of_a_login_stay_on_tls_and_last_a_day(bench: Bench) -> None:
    at = browser(bench, "203.0.113.2")
    answer = at.log_in(password())
    assert {"session", "_token"} <= set(answer.cookies), answer.body
    for cookie in answer.cookies.values():
        assert {"Secure", "HttpOnly"} <= {part.strip() for part in cookie.split(";")}
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert (answer.headers["X-Content-Type-Options"], answer.headers["X-Frame-Options"]) == (
        "nosniff",
        "SAMEORIGIN",
    )
    assert ADMINISTRATOR in at.ask("GET", "/auth/users/list/").body


def test_wrong_passwords_lock_out_the_client_that_sends_them_and_no_other(bench: Bench) -> None:
    guesser, other = browser(bench, "203.0.113.3"), browser(bench, "203.0.113.4")
    assert [guesser.log_in("wrong").status for _ in range(LIMIT + 1)] == [302] * LIMIT + [429]
    assert "_token" in other.log_in(password()).cookies


def test_guesses_at_tokens_are_limited_as_well_whatever_the_client_claims(bench: Bench) -> None:
    statuses = [
        browser(bench, "203.0.113.5", For=f"198.51.100.{number}").ask_for_a_token("wrong")
        for number in range(LIMIT + 1)
    ]
    assert statuses == [401] * LIMIT + [429]
    assert browser(bench, "203.0.113.6").ask_for_a_token(password()) == 201


@pytest.mark.parametrize(
    "path",
    ["/execution/health", "/execution", "/%65xecution/health", "/execution/docs", "/docs", "/openapi.json"],
)
def test_the_public_port_has_no_task_execution_api_and_no_documentation(bench: Bench, path: str) -> None:
    assert browser(bench, "203.0.113.7").ask("GET", path).status == 404


def test_workers_find_the_task_execution_api_at_the_other_port(bench: Bench) -> None:
    """Otherwise the test above would prove nothing."""
    at = Browser(bench.cluster.webserver.address, INTERNAL, "203.0.113.8")
    assert at.ask("GET", "/execution/health").status == 200


FORWARDED = r"""
set -eu; cd "$(mktemp -d)"; at=http://127.0.0.1:8080/auth/login/
page=$(curl --silent --cookie-jar jar --header 'X-Forwarded-Proto: https' $at)
token=$(printf %s "$page" | sed -n 's/.*name="csrf_token"[^>]*value="\([^"]*\)".*/\1/p' | head -1)
curl --silent --cookie jar --cookie-jar jar --include --output answer $at \
    --data-urlencode "csrf_token=$token" --data-urlencode username=admin --data-urlencode password@-
cat answer; curl --silent --cookie jar http://127.0.0.1:8080/auth/users/list/ | grep --count 'admin@'
"""
"""A login at the web server's own address, as the session of a forwarded port arrives there."""


def test_a_forwarded_port_logs_in_without_tls(bench: Bench) -> None:
    ran = bench.cluster.webserver.machine.execute(["sh", "-c", FORWARDED], text=password())
    cookies = [line for line in ran.stdout.splitlines() if line.lower().startswith("set-cookie: _token=")]
    assert len(cookies) == 1, ran.stdout
    assert "secure" not in cookies[0].lower()
    assert "strict-transport-security" not in ran.stdout.lower()


def test_a_password_that_a_person_chooses_is_complex(bench: Bench) -> None:
    at = browser(bench, "203.0.113.9")
    at.log_in(password())
    path = "/auth/resetmypassword/form"
    (token,) = CSRF.findall(at.ask("GET", path).body)[:1]
    form = urlencode({"csrf_token": token, "password": "longbutplain", "conf_password": "longbutplain"})
    answer = at.ask("POST", path, form, "application/x-www-form-urlencoded")
    assert "capital letters" in answer.body
    assert browser(bench, "203.0.113.10").ask_for_a_token(password()) == 201
