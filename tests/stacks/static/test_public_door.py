"""What the public load balancer lets through: its rules, asked with addresses."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

import pytest

from tests.stacks.static.template import EVERYTHING, Template

UNAUTHENTICATED = "OnUnauthenticatedRequest"
DENIES = {"deny": " or 401", "allow": " or nobody"}
SCRIPT = "application/json, text/plain, */*"
"""What the UI's scripts accept."""


def answer(
    path: str,
    authorization: str = "",
    access: str = "oidc",
    accept: str = "text/html,*/*",
    prefix: str = "",
) -> list[str]:
    """The actions for a request, in order, as a load balancer decides them: the first rule that fits."""
    given = {**EVERYTHING["public"], "PublicAccess": access, "UrlPrefix": prefix}
    resources = Template("public").deployed(**given)
    rules = [r["Properties"] for r in resources.values() if r["Type"].endswith("ListenerRule")]
    for rule in sorted(rules, key=lambda rule: int(rule["Priority"])):
        if all(
            fits(condition, path, {"Authorization": authorization, "Accept": accept})
            for condition in rule["Conditions"]
        ):
            return named(rule["Actions"])
    return named(resources["PublicHttps"]["Properties"]["DefaultActions"])


def fits(condition: dict[str, Any], path: str, headers: dict[str, str]) -> bool:
    if condition["Field"] == "http-header":
        header = condition["HttpHeaderConfig"]
        given = headers[header["HttpHeaderName"]]
        return any(fnmatch.fnmatchcase(given, value) for value in header["Values"])
    config = condition["PathPatternConfig"]
    return any(fnmatch.fnmatchcase(path, value) for value in config.get("Values", [])) or any(
        re.search(value, path) for value in config.get("RegexValues", [])
    )


def named(actions: list[dict[str, Any]]) -> list[str]:
    return [
        action["FixedResponseConfig"]["StatusCode"]
        if action["Type"] == "fixed-response"
        else action["Type"]
        + DENIES.get(action.get("AuthenticateOidcConfig", {}).get(UNAUTHENTICATED, ""), "")
        for action in actions
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/execution",
        "/execution/",
        "/execution/health",
        "/execution/task-instances/1/run",
        "//execution/health",
        "/EXECUTION/health",
        "/%65xecution/health",
        "/execution%2Fhealth",
        "/%2e/execution/health",
    ],
)
@pytest.mark.parametrize("access", ["oidc", "airflow"])
@pytest.mark.parametrize("authorization", ["", "Bearer token"])
def test_the_task_execution_api_is_not_there(path: str, access: str, authorization: str) -> None:
    assert answer(path, authorization, access) == ["404"]


@pytest.mark.parametrize(
    "path",
    [
        "/execution/health",
        "/airflow/execution",
        "/airflow/execution/task-instances/1/run",
        "/airflow//Execution/health",
        "//airflow/execution/health",
        "/%61irflow/execution/health",
        "/airflow/%65xecution/health",
        "/airflow/execution%2Fhealth",
    ],
)
@pytest.mark.parametrize("access", ["oidc", "airflow"])
def test_nor_is_it_below_a_prefix(path: str, access: str) -> None:
    assert answer(path, "Bearer token", access, prefix="/airflow") == ["404"]


def test_the_other_rules_follow_a_prefix() -> None:
    assert answer("/airflow/api/v2/dags", "Bearer token", prefix="/airflow") == ["forward"]
    for path in ("/airflow/api/v2/dags", "/airflow/ui/dags"):
        assert answer(path, accept=SCRIPT, prefix="/airflow") == ["authenticate-oidc or 401", "forward"]
    for path in ("/airflow/", "/airflow/dags/execution/runs/manual__2026-11-21T00%3A00"):
        assert answer(path, prefix="/airflow") == ["authenticate-oidc", "forward"]


def test_no_condition_is_longer_than_a_load_balancer_takes() -> None:
    resources = Template("public").deployed(**{**EVERYTHING["public"], "UrlPrefix": "/" + "a" * 32})
    rules = [each["Properties"] for each in resources.values() if each["Type"].endswith("ListenerRule")]
    configs = [
        one["PathPatternConfig"] for rule in rules for one in rule["Conditions"] if "PathPatternConfig" in one
    ]
    values = [
        value for config in configs for key in ("Values", "RegexValues") for value in config.get(key, [])
    ]
    assert max(map(len, values)) <= 128


@pytest.mark.parametrize(
    "path", ["/", "/dags/a/runs/manual__2026-11-21T00%3A00%3A00%2B00%3A00", "/executions", "/ui/dags"]
)
def test_people_log_in_first(path: str) -> None:
    assert answer(path) == ["authenticate-oidc", "forward"]
    assert answer(path, access="airflow") == ["forward"]


def test_a_program_with_a_token_passes_the_login_by_for_the_rest_api_only() -> None:
    assert answer("/api/v2/dags", "Bearer token") == ["forward"]
    assert answer("/api/v2/dags", "Basic abc") == ["authenticate-oidc", "forward"]
    assert answer("/ui/dags", "Bearer token") == ["authenticate-oidc", "forward"]


@pytest.mark.parametrize("path", ["/api/v2/dags", "/ui/dags", "/ui/auth/menus"])
def test_a_script_whose_session_has_expired_gets_401_and_no_redirect(path: str) -> None:
    assert answer(path, accept=SCRIPT) == ["authenticate-oidc or 401", "forward"]
    assert answer(path, accept=SCRIPT, access="airflow") == ["forward"]


def test_a_browser_on_its_way_to_the_login_page_is_sent_to_the_identity_provider() -> None:
    for path in ("/api/v2/auth/login", "/auth/login/", "/"):
        assert answer(path) == ["authenticate-oidc", "forward"]


def test_both_logins_at_the_identity_provider_are_the_same() -> None:
    """One session, whichever rule a request meets first."""
    resources = Template("public").deployed(**EVERYTHING["public"])
    of_page = resources["PublicHttps"]["Properties"]["DefaultActions"][0]["AuthenticateOidcConfig"]
    of_script = resources["PublicApiAnswersAnExpiredSession"]["Properties"]["Actions"][0]
    assert of_page | {UNAUTHENTICATED: "deny"} == of_script["AuthenticateOidcConfig"]


def test_clear_text_is_sent_on_to_https() -> None:
    listener = Template("public").deployed(**EVERYTHING["public"])["PublicHttp"]["Properties"]
    (action,) = listener["DefaultActions"]
    assert (listener["Port"], action["Type"], action["RedirectConfig"]["Protocol"]) == (
        80,
        "redirect",
        "HTTPS",
    )
