"""A value that the boot accepts means the same to Airflow and to Airkiln's programs."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from airkiln import roles
from airkiln.errors import RefusedError
from airkiln.lifecycle.airflow_api import base_url
from airkiln.parameters import rules
from airkiln.parameters.rules import Parameter
from airkiln.pools import settings as pools
from airkiln_deploy import pools as deployed

ALL_ADMINS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"
PORT = "AIRFLOW__API__PORT"

truths = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", " ", "\t", "#"]),
    st.sampled_from(
        ["1", "t", "T", "true", "True", "TRUE", "tRuE", "0", "f", "False", "on", "yes", "", "10"]
    ),
    st.sampled_from(["", " ", "\v", "#", " #", "# "]),
    st.sampled_from(["", "true", " the reason", "#", "false"]),
)
"""Truth values as people write them in a configuration file, with comments."""
numbers = st.one_of(
    st.integers(-2, 10**10).map(str),
    st.text(st.sampled_from("0123456789_.-+e \t#x\uff11\u0663"), max_size=6),
    st.sampled_from(
        ["8080", "16", "1_6", "8.0", "1e3", " 16", "16 ", "+16", "016", "\uff11\uff16", "²", "NaN"]
    ),
)
"""Numbers in every notation that Python reads, and some in none."""


addresses = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "", "//", "ftp://"]),
    st.sampled_from(["", "", "", "me@", "me:Hq7dM2vXw9@"]),
    st.sampled_from(
        ["web", "Web.example.org", "[fd00::1]", "10.0.0.1", "", "web:8080", "[fd00::1]:8080", "web:0", "w b"]
    ),
    st.sampled_from(
        [
            "/execution/",
            "/execution",
            "/af/execution/",
            "/execution//",
            "/",
            "",
            "/executions/",
            "/%65xecution",
        ]
    ),
    st.sampled_from(["", "", "", "?a=b", "#a", " ", "\t", "/x", "\\"]),
)
"""Addresses of the task execution API, good ones among them."""


def accepted(name: str, value: str) -> bool:
    return rules.check([Parameter(name, value, name)], None, {}) == []


def getboolean(value: str) -> bool:
    """getboolean of airflow/_shared/configuration/parser.py (3.3.2)."""
    text = value.lower().strip()
    if "#" in text:
        text = text.split("#")[0].strip()
    if text in ("t", "true", "1"):
        return True
    if text in ("f", "false", "0"):
        return False
    raise ValueError(value)


def getint(value: str) -> int:
    """getint of the same file."""
    try:
        return int(value)
    except ValueError:
        number = float(value)
        if number != int(number):
            raise ValueError(value) from None
        return int(number)


@given(truths)
def test_no_truth_value_that_airflow_takes_for_true_makes_everybody_an_administrator(value: str) -> None:
    if accepted(ALL_ADMINS, value):
        try:
            assert not getboolean(value)
        except ValueError:
            return  # Airflow does not start


@pytest.mark.parametrize("value", ["True # for now", "1#", " t ", "TRUE#false"])
def test_a_comment_behind_a_truth_value_opens_no_door(value: str) -> None:
    assert getboolean(value)
    assert not accepted(ALL_ADMINS, value)


@pytest.mark.parametrize("name", [PORT, pools.CONCURRENCY])
@given(value=numbers)
def test_an_accepted_number_is_the_same_one_to_airflow_and_in_an_address(name: str, value: str) -> None:
    if accepted(name, value):
        assert getint(value) == int(value.encode("ascii"))
        assert value == value.strip()


@given(numbers)
def test_an_accepted_concurrency_is_the_slots_of_the_pool_and_of_the_deployment(value: str) -> None:
    if not accepted(pools.CONCURRENCY, value):
        return
    assert deployed.settings({"default": {}}, value)["default"]["slots"] == getint(value)
    try:
        assert pools.parse({pools.CONCURRENCY: value})["default"].slots == getint(value)
    except RefusedError:
        assert not 1 <= getint(value) <= 1000


@settings(max_examples=300)
@given(addresses)
def test_an_accepted_address_of_the_execution_api_is_where_a_drain_finds_the_rest_api(value: str) -> None:
    if not accepted(roles.EXECUTION_API, value):
        return
    parts = urlsplit(value)  # as httpx reads it (RFC 3986)
    base = urlsplit(base_url(value))
    assert (base.scheme, base.hostname, base.port) == (parts.scheme, parts.hostname, parts.port)
    assert parts.path.rstrip("/") == f"{base.path}/execution"
    assert (base.username, base.query, base.fragment) == (None, "", "")
    assert "@" not in base.netloc


@pytest.mark.parametrize(
    "value",
    [
        "web:8080/execution/",
        "http://web:8080/",
        "http://web:8080/execution/ ",
        "HTTP://web/execution/",
        "ftp://web/execution/",
        "http://me:Hq7dM2vXw9@web/execution/",
        "http://web/execution/?a=b",
        "http://web:99999/execution/",
        "http:///execution/",
    ],
)
def test_an_address_at_which_a_drain_finds_nothing_is_refused(value: str) -> None:
    (problem,) = rules.check([Parameter(roles.EXECUTION_API, value, "it")], None, {})
    assert problem.startswith("it: the URL")
    assert "Hq7dM2vXw9" not in problem


@pytest.mark.parametrize("wanted", ["https://", "[fd00::1]", ":8080", "/af/execution"])
def test_the_property_is_checked_on_accepted_addresses(wanted: str) -> None:
    assert find(addresses, lambda value: wanted in value and accepted(roles.EXECUTION_API, value))


@pytest.mark.parametrize("value", ["1_6", "8.0", " 16", "16 ", "+16", "\uff11\uff16", "²", "1e3", ""])
@pytest.mark.parametrize("name", [PORT, pools.CONCURRENCY])
def test_a_number_that_not_everybody_reads_is_refused_with_what_to_write(name: str, value: str) -> None:
    (problem,) = rules.check([Parameter(name, value, name)], None, {})
    assert "digits 0 to 9" in problem


@pytest.mark.parametrize("wanted", ["8080", "16", "016"])
def test_the_properties_are_checked_on_accepted_numbers(wanted: str) -> None:
    assert find(numbers, lambda value: value == wanted and accepted(PORT, value))
