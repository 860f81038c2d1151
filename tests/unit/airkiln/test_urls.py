"""What the boot accepts as a connection means the same to SQLAlchemy, systemd, Airflow and our programs."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import make_url

from airkiln import roles, urls
from airkiln.database import target
from airkiln.errors import RefusedError
from airkiln.parameters import rules
from airkiln.systemd import envfile

DRIVERS = ("postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg")
AROUND = ":/?#@%[]&=+;,. '\"\\$~`<>ä\tA0"
"""Characters that a URL or one of its readers treats in its own way, and two that nobody does."""
plain = st.builds(
    "{}://{}@{}{}".format,
    st.sampled_from(DRIVERS),
    st.sampled_from(["airflow", "air%40flow:Tq7-xwRm41", "a.b:Tq7-%2F%40xwRm41", "airflow:%24HOME-Rm41"]),
    st.sampled_from(["db/airflow", "db:6543/airflow", "[fd00::1]:5432/air-flow", "DB/airflow", "/airflow"]),
    st.sampled_from(
        [
            *("", "?sslmode=require", "?sslmode=verify-full&sslrootcert=/etc/airkiln/database-authority.pem"),
            *("?host=/run/postgresql", "?options=-csearch_path%3Dx&application_name=a%20b"),
        ]
    ),
)
"""Connections, most of them good."""
strange = st.builds(
    lambda text, place, more: text[: place % len(text)] + more + text[place % len(text) :],
    plain,
    st.integers(0, 99),
    st.sampled_from(
        [
            *AROUND,
            *("%zz", "%00", "%ff", ":0", ":99999", ",b", "#x", "//", "@db", ";c=d"),
            *("?host=other", "&host=other", "?port=6000", "&port=6000", "&user=x", "&password=x"),
            *("&dbname=x", "&database=x", "?service=x", "&sslmode=a", "&a=", "&a=b+c"),
        ]
    ),
)
"""The same with something too many somewhere."""
longer = st.builds(
    "{}{}{}".format,
    plain,
    st.sampled_from(["?", "&", "%26", "/"]),
    st.sampled_from(
        ["sslmode=require", "host=other", "port=6000", "application_name=b", "options=-cx%3Dy", "a"]
    ),
)
"""The same with one option more, or one that is there already."""
written = plain | strange | longer


PIECES = [
    "$X1",
    "${X1}",
    "$HOME",
    "$UNSET",
    "$",
    "$$",
    "\\",
    "~",
    "~/",
    "~root",
    "/",
    "{",
    "}",
    "X1",
    "%",
    " ",
    "a",
]
"""What Airflow replaces in a value, what it leaves as it is, and what only looks like it."""


brokers = written.map(lambda text: text.replace("postgresql", "amqp")) | st.builds(
    "amqp://{}:Tq7-{}xwRm41{}@{}".format,
    st.sampled_from(["airflow", "air%2Fflow"]),
    st.sampled_from([*AROUND, "", "%2F", "@other/", ":6000/"]),
    st.sampled_from(["", *AROUND]),
    st.sampled_from(["db//", "db:5671/air;amqp://one:Hq7dM2vXw9@two//", "[fd00::1]/x?ssl=true"]),
)
"""Brokers, some with a sign in the password that ends a host, or one broker of several."""


def expand(value: str) -> str:
    """expand_env_var of airflow/_shared/configuration/parser.py."""
    while True:
        expanded = os.path.expanduser(os.path.expandvars(value))  # noqa: PTH111 - as Airflow does
        if expanded == value:
            return value
        value = expanded


def accepted(name: str, value: str) -> bool:
    allowed = rules.Parameter(rules.UNVERIFIED, rules.ALLOWED, "")
    return rules.check([rules.Parameter(name, value, name), allowed], None, {}) == []


@settings(max_examples=1000)
@given(written)
def test_an_accepted_database_is_the_same_one_to_every_reader(text: str) -> None:
    if not accepted(roles.DATABASE, text):
        return
    ours, theirs = target.parse(text), make_url(text)
    assert (ours.user, ours.password, ours.database) == (
        theirs.username,
        theirs.password or "",
        theirs.database,
    )
    dialect = PGDialect_asyncpg() if "asyncpg" in text else PGDialect_psycopg()
    connection = dialect.create_connect_args(theirs)[1]
    keywords = ours.keywords(ours.user, ours.password)
    keywords.pop("require_auth", None)  # ours alone, and what asks for less is refused
    known = {"database": "dbname"}
    theirs_sent = {known.get(name, name): str(value) for name, value in connection.items() if value}
    assert {"port": "5432"} | theirs_sent == keywords
    assert envfile.parse(envfile.render({"A": text})) == {"A": text}
    assert expand(text) == text


@pytest.mark.parametrize(
    "wanted",
    [
        "postgresql+asyncpg://",
        "air%40flow",
        "%2F%40",
        "[fd00::1]",
        "?sslmode=require",
        "?sslmode=verify-full&sslrootcert=/",
        "?host=/run/postgresql",
        "options=-c",
    ],
)
def test_the_properties_are_checked_on_accepted_connections(wanted: str) -> None:
    assert find(written, lambda text: wanted in text and accepted(roles.DATABASE, text))


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_every_user_and_password_can_be_encoded_and_arrives(user: str, password: str) -> None:
    text = f"postgresql+psycopg://{quote(user, safe='')}:{quote(password, safe='')}@db/airflow"
    if re.search(r"[\x00-\x1f\x7f]", user + password):
        with pytest.raises(RefusedError):
            target.parse(text)
        return
    ours, theirs = target.parse(text), make_url(text)
    assert (ours.user, ours.password) == (user, password) == (theirs.username, theirs.password)


@settings(max_examples=500)
@given(brokers)
def test_an_accepted_broker_is_the_same_one_to_rfc_3986(text: str) -> None:
    if not accepted(roles.BROKER, text):
        return
    for one, url in zip(text.split(";"), urls.parse_brokers(text), strict=True):
        parts = urlsplit(f"http://{one.partition('://')[2]}")  # as kombu/utils/url.py reads it
        assert (url.host.lower(), url.port) == (parts.hostname or "", parts.port)
        assert (url.user or "", url.password or "") == (
            unquote(parts.username or ""),
            unquote(parts.password or ""),
        )
        assert (url.path, url.query, parts.fragment) == (parts.path, parts.query, "")


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_an_accepted_setting_reaches_airflow_as_it_is_stored(value: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("X1", "expanded")
        patched.setenv("HOME", "/home")
        if accepted("AIRFLOW__CORE__ANYTHING", value):
            assert expand(value) == value


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://airflow:pa?ss@db/airflow",
        "postgresql://airflow:pa#ss@db/airflow",
        "postgresql://airflow:pa/ss@db/airflow",
        "postgresql://airflow:pa@ss@db/airflow",
        "postgresql://airflow:pa ss@db/airflow",
        "postgresql://airflow:pa'ss@db/airflow",
        'postgresql://airflow:pa"ss@db/airflow',
        "postgresql://airflow:pa%ss@db/airflow",
        "'postgresql://airflow:Tq7-xwRm41@db/airflow'",
        " postgresql://airflow:Tq7-xwRm41@db/airflow",
        "postgresql://airflow:Tq7-xwRm41@db/airflow?port=6000",
        "postgresql://airflow:Tq7-xwRm41@db/airflow?host=other",
        "postgresql://airflow:Tq7-xwRm41@db/airflow?sslmode=require&sslmode=disable",
        "postgresql://airflow:Tq7-xwRm41@db/air%20flow",
        "postgres://airflow:Tq7-xwRm41@db/airflow",
        "mysql://airflow:Tq7-xwRm41@db/airflow",
        "postgresql://airflow:Tq7-xwRm41@db",
        "postgresql:///airflow",
    ],
)
@pytest.mark.parametrize("name", [roles.DATABASE, f"{roles.DATABASE}_ASYNC"])
def test_what_is_read_in_two_ways_or_by_one_program_only_is_refused(name: str, text: str) -> None:
    (problem,) = rules.check([rules.Parameter(name, text, name)], None, {})
    assert problem.startswith(f"{name}: the URL")
    with pytest.raises(RefusedError):
        target.parse(text)


def test_the_message_says_how_to_encode() -> None:
    with pytest.raises(ValueError, match=r"percent-encode every character.*python3 -c"):
        urls.parse("postgresql://airflow:pa?ss@db/airflow")


def test_the_options_are_those_of_the_standard_library() -> None:
    text = "sslmode=require&application_name=a%20b&options=-csearch_path%3Dx"
    assert dict(urls.options(text)) == dict(parse_qsl(text))


def test_several_brokers_are_each_checked() -> None:
    good = "amqp://airflow:Tq7-xwRm41@one//"
    assert accepted(roles.BROKER, f"{good};{good.replace('one', 'two')}")
    assert not accepted(roles.BROKER, f"{good};amqp://airflow:pa#ss@two//")
