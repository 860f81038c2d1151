"""What a parameter may be called and may hold. Pure: values in, sentences out, and no sentence holds a
value."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from airkiln import roles
from airkiln.roles import Role

MAX_VALUE_BYTES = 8192
"""Parameter Store's own limit for an advanced parameter (8 KB); a value from a file is held to it too."""

MAX_TOTAL_BYTES = 1_572_864
"""All names and values of one process. Linux gives arguments and environment a quarter of the stack limit, 2
MiB at the usual 8 MiB (execve(2)); a quarter of that stays for what systemd and the image add. Above it no
unit starts."""

_OUR_PASSWORD = re.compile(r"AIRKILN_(ADMIN|CONTROLLER|LIFECYCLE)_([A-Z_]+_)?PASSWORD")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_LOADING_NAMES = {
    "PATH": "which programs run",
    "HOME": "where programs find their settings",
    "SHELL": "which shell runs tasks",
    "IFS": "how shells split words",
    "ENV": "what shells read when they start",
    "BASH_ENV": "what shells read when they start",
    "USER": "who the program believes it is",
    "LOGNAME": "who the program believes it is",
    "GCONV_PATH": "which character-set modules the C library loads",
    "LOCPATH": "which locale files the C library loads",
    "NLSPATH": "which message files the C library loads",
    "NOTIFY_SOCKET": "how a unit talks to systemd",
    "LISTEN_FDS": "how a unit talks to systemd",
    "LISTEN_PID": "how a unit talks to systemd",
    "AIRFLOW_HOME": "where Airflow finds its settings",
    "AIRFLOW_CONFIG": "where Airflow finds its settings",
}
_LOADING_PREFIXES = {
    "LD_": "which libraries a program loads",
    "GLIBC_": "how the C library behaves",
    "MALLOC_": "how the C library behaves",
    "PYTHON": "which code Python loads",
    "SYSTEMD_": "how systemd's programs behave",
    "INVOCATION_ID": "how a unit talks to systemd",
    "JOURNAL_STREAM": "how a unit talks to systemd",
    "CREDENTIALS_DIRECTORY": "how a unit talks to systemd",
    "WATCHDOG_": "how a unit talks to systemd",
}
_ALLOWED_NAMES = frozenset(
    {"PYTHONASYNCIODEBUG", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER", "MALLOC_ARENA_MAX"}
)
"""Names under a refused prefix that load nothing."""

WEAK_SECRETS = frozenset(
    {
        "",
        "airflow",
        "airflow_jwt_secret",  # docs/howto/docker-compose/docker-compose.yaml of Airflow 3.1 and later
        "admin",
        "change_me",
        "change-me",
        "changeme",
        "default",
        "dev-jwt-secret-change-me",
        "dev-secret-key-change-me",
        "example",
        "jwt_secret",
        "mysecret",
        "my-secret-key",
        "password",
        "postgres",
        "secret",
        "secret_key",
        "super_secret_key",
        "supersecret",
        "supersecretjwt",
        "temporary_key",  # [webserver] secret_key's default in Airflow 1.10 (CVE-2020-17526)
        "test",
        "this is unsafe!",  # values.yaml of the community chart, airflow-helm/charts
        "your-secret-key",
        "your_secret_key",
        "a25mq1fhtuh3mnfrsk5kmeiyvvu2ymn0vgryytvxy08=",  # bitnami/containers, airflow's docker-compose.yml
    }
)
"""Compared without regard to case. Where no source stands beside it, a word from many public compose
files."""

PUBLISHED_FERNET_KEYS = frozenset(
    {
        "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=",  # puckel/docker-airflow, bitnami/containers
        "7T512UXSSmBOkpWimFHIVb8jK6lfmSAvx4mO6Arehnc=",  # airflow-helm/charts, values.yaml
        "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=",  # copied through many public compose files
    }
)

MIN_SECRET_CHARACTERS = 16
"""A key that signs tokens or sessions is random; fewer than 16 characters never are enough."""

_FERNET_BYTES = 32


@dataclass(frozen=True)
class Parameter:
    """One parameter as its source names it. `value` stays out of every representation."""

    name: str
    value: str = field(repr=False)
    origin: str
    """Where it came from: the full path in Parameter Store, or file and name."""


def check(parameters: Iterable[Parameter], role: Role | None, settled: Mapping[str, str]) -> list[str]:
    """Every problem, as sentences that name the parameter; an empty list means that all is well.

    `settled` are the image's own settings: they satisfy a requirement too. Without a role nothing is
    required. Among parameters of one name the last one is the one in force; every one is checked.
    """
    problems: list[str] = []
    in_force: dict[str, str] = dict(settled)
    for parameter in parameters:
        reason = bad_name_reason(parameter.name) or unusable_reason(parameter.value)
        if reason is None:
            reason = weak_reason(parameter.name, parameter.value)
        if reason is not None:
            problems.append(f"{parameter.origin}: {reason}")
        in_force[parameter.name] = parameter.value
    total = sum(
        len(name.encode(errors="replace")) + len(value.encode(errors="replace")) + 2
        for name, value in in_force.items()
    )
    if total > MAX_TOTAL_BYTES:
        problems.append(
            f"the environment is {total} bytes and no program starts with more than {MAX_TOTAL_BYTES}: "
            "remove parameters or shorten them"
        )
    if role is not None:
        problems.extend(missing(role, in_force))
    return problems


def missing(role: Role, in_force: Mapping[str, str]) -> list[str]:
    """A sentence for each parameter that the role needs and nothing sets."""
    celery = "celery" in in_force.get(roles.EXECUTOR, "").lower()
    needed = role.required + (role.required_with_celery if celery else ())
    folders = " or ".join(f".../{folder}/" for folder in dict.fromkeys((role.folders[0], role.folders[-1])))
    return [
        f"{name}: missing, and the role {role.name} needs it: store it under {folders}"
        for name in needed
        if name not in in_force and not _alternative(name, in_force)
    ]


def _alternative(name: str, in_force: Mapping[str, str]) -> bool:
    """Whether Airflow finds the setting elsewhere: a _CMD or _SECRET variant, or a key pair for tokens."""
    if name == roles.JWT_KEY and "AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH" in in_force:
        return True
    return f"{name}_CMD" in in_force or f"{name}_SECRET" in in_force


def bad_name_reason(name: str) -> str | None:
    """Why no parameter may be called so, or None."""
    if not _NAME.fullmatch(name):
        return (
            "the name is not that of an environment variable: use letters, digits and _, and no digit first"
        )
    if name in _ALLOWED_NAMES:
        return None
    what = _LOADING_NAMES.get(name) or next(
        (text for prefix, text in _LOADING_PREFIXES.items() if name.startswith(prefix)), None
    )
    if what is not None:
        return f"the name is refused, because it changes {what}: remove the parameter"
    return None


def unusable_reason(value: str) -> str | None:
    """Why systemd would not hand this value on unchanged, or None.

    systemd 257 rejects a whole file, and starts none of its units, for one character that src/basic/utf8.c
    (unichar_is_valid) does not take: surrogates and noncharacters. Line breaks are refused because they come
    from a file's end, and are not intended. Every other character arrives, control characters too.
    """
    if "\0" in value:
        return "the value holds a NUL byte, which no environment variable can: store it without"
    if "\n" in value or "\r" in value:
        return "the value holds a line break: store it on one line (often the file had one at its end)"
    if any(_not_a_character(ord(char)) for char in value):
        return "the value is not valid text (a surrogate or a Unicode noncharacter): store it as UTF-8"
    size = len(value.encode())
    if size > MAX_VALUE_BYTES:
        return f"the value is {size} bytes long and the limit is {MAX_VALUE_BYTES}: shorten it"
    return None


def _not_a_character(code: int) -> bool:
    return 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


def weak_reason(name: str, value: str) -> str | None:
    """Why this secret is refused; None for a good one, and for a value that is not a secret."""
    if name == roles.FERNET_KEY:
        return _weak_fernet(value)
    if name in (roles.JWT_KEY, roles.API_KEY):
        if value.strip().lower() in WEAK_SECRETS:
            return (
                "the secret is empty, a default or a published example: make one with `openssl rand -hex 32`"
            )
        if len(value) < MIN_SECRET_CHARACTERS:
            return (
                f"the secret is shorter than {MIN_SECRET_CHARACTERS} characters: "
                "make one with `openssl rand -hex 32`"
            )
    if _OUR_PASSWORD.fullmatch(name) and value.strip().lower() in WEAK_SECRETS:
        return "the password is empty or a default: choose another"
    if name in (roles.DATABASE, roles.RESULT_BACKEND, roles.BROKER):
        return _weak_url(name, value)
    return None


def _weak_fernet(value: str) -> str | None:
    make = "make one with `openssl rand -base64 32 | tr '+/' '-_'`"
    if not value.strip():
        return f"the Fernet key is empty, so Airflow would store passwords in plain text: {make}"
    for key in (part.strip() for part in value.split(",")):
        if key in PUBLISHED_FERNET_KEYS:
            return f"the Fernet key is a published example: {make}"
        if key.lower() in WEAK_SECRETS:
            return f"the Fernet key is a default, or one of its keys is empty: {make}"
        try:
            raw = base64.b64decode(key.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raw = b""
        if len(raw) != _FERNET_BYTES:
            return f"not a Fernet key (32 bytes in URL-safe base64; several are separated by commas): {make}"
        if len(set(raw)) == 1:
            return f"the Fernet key is one byte repeated: {make}"
    return None


def _weak_url(name: str, value: str) -> str | None:
    """A connection without a value, or with a known-weak password. None if it holds no password."""
    if not value.strip():
        return "the connection is empty: store its URL"
    try:
        password = urlsplit(value).password
    except ValueError:
        return "the connection is not a URL: store it as scheme://user:password@host/name"
    if password is None:
        return None
    if not password and name == roles.BROKER:
        return None  # redis://:@host is a Redis without a password: who may reach it is the network's matter
    if unquote(password).strip().lower() in WEAK_SECRETS:
        return (
            "the connection's password is empty, a default or a published example: change it where it is used"
        )
    return None
