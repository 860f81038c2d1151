"""What the parameters of a role may hold. Pure: values in, sentences out, and no sentence holds a value.

`names` has what they may be called, and `strength` which secrets are weak."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from airkiln import numbers, roles, urls
from airkiln.parameters import own, strength
from airkiln.parameters.names import bad_name_reason
from airkiln.roles import Role
from airkiln.urls import Url

MAX_VALUE_BYTES = 8192
"""Parameter Store's own limit for an advanced parameter (8 KB); a value from a file is held to it too."""

MAX_TOTAL_BYTES = 1_572_864
"""All names and values of one process. Linux gives arguments and environment a quarter of the stack limit, 2
MiB at the usual 8 MiB (execve(2)); a quarter of that stays for what systemd and the image add. Above it no
unit starts."""

_OUR_PASSWORDS = frozenset(name for name in own.VALUES if name.endswith("_PASSWORD"))

_AIRFLOW = "AIRFLOW__"
_EXPANDED = re.compile(r"\$(?:\w+|\{[^}]*\})|^~", re.ASCII)
"""What Airflow's expand_env_var replaces in every value of its configuration (posixpath.expandvars and
expanduser)."""

_WORKER = "airflow_worker"
"""The database login of workers."""
_DATABASES = (roles.DATABASE, f"{roles.DATABASE}_ASYNC")
_RESOLVED_BY_AIRFLOW = (
    roles.API_KEY,
    roles.BROKER,
    roles.FERNET_KEY,
    roles.JWT_KEY,
    roles.RESULT_BACKEND,
)
"""What Airflow alone reads, so that its _CMD and _SECRET variants do as well."""

_ON_WORKERS = (roles.API_KEY, "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD", "AIRKILN_LIFECYCLE_PASSWORD")
"""Secrets that the code of a task can read."""
_NOT_ON_WORKERS = (
    roles.JWT_KEY,
    roles.FERNET_KEY,
    "AIRKILN_ADMIN_PASSWORD",
    "AIRKILN_ADMIN_DATABASE_PASSWORD",
    "AIRKILN_CONTROLLER_DATABASE_PASSWORD",
)
"""Secrets that it must not know, beside the password of the database's owner."""

_WEAK_TLS = frozenset({"allow", "disable", "false", "prefer"})
"""Values of libpq's sslmode and asyncpg's ssl with which a connection may be in clear text."""
UNVERIFIED, ALLOWED = own.UNVERIFIED, own.ALLOWED
AUTHORITY = "/etc/airkiln/database-authority.pem"
"""Where the role `database_authority` puts the certificates of the image."""
_LOCAL_HOSTS = frozenset({"", "127.0.0.1", "::1", "localhost"})

_OPEN_DOORS = (
    (re.compile(r".*AUTH_ROLE_PUBLIC"), re.compile(r"(?i)(?!public$).+"), "gives a role to everybody"),
    (
        re.compile(r".*AUTH_USER_REGISTRATION_ROLE"),
        re.compile(r"(?i)admin"),
        "makes everybody who logs in an administrator",
    ),
    (
        re.compile(r"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"),
        re.compile(r"(?is)\s*(1|on|t|true|y|yes)\s*(#.*)?"),
        "makes everybody an administrator",
    ),
    (
        re.compile(r"AIRFLOW__[A-Z]+__AUTH_BACKENDS?"),
        re.compile(r".*auth\.backend\.default.*"),
        "lets everybody use the API",
    ),
)
"""Names, values and what both together do: settings that need no login."""


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
    parameters = list(parameters)
    problems = contradictions(parameters, role, settled)
    if role is not None:
        problems.extend(missing(role, _in_force(parameters, settled)))
    return problems


def _in_force(parameters: Iterable[Parameter], settled: Mapping[str, str]) -> dict[str, str]:
    return {**settled, **{parameter.name: parameter.value for parameter in parameters}}


def contradictions(
    parameters: Iterable[Parameter], role: Role | None, settled: Mapping[str, str]
) -> list[str]:
    """Every problem but a parameter that the role lacks; the rest is as `check` has it."""
    problems: list[str] = []
    parameters = list(parameters)
    in_force = _in_force(parameters, settled)
    verified = in_force.get(UNVERIFIED) != ALLOWED
    for parameter in parameters:
        reason = bad_name_reason(parameter.name) or unusable_reason(parameter.value)
        if reason is None:
            reason = (
                own.reason(parameter.name, parameter.value)
                or numbers.reason(parameter.name, parameter.value)
                or ambiguous_reason(parameter.name, parameter.value)
                or weak_reason(parameter.name, parameter.value)
                or open_reason(parameter.name, parameter.value)
                or (unverified_reason(parameter.name, parameter.value) if verified else None)
            )
        if reason is not None:
            problems.append(f"{parameter.origin}: {reason}")
    total = sum(
        len(name.encode(errors="replace")) + len(value.encode(errors="replace")) + 2
        for name, value in in_force.items()
    )
    if total > MAX_TOTAL_BYTES:
        problems.append(
            f"the environment is {total} bytes and no program starts with more than {MAX_TOTAL_BYTES}: "
            "remove parameters or shorten them"
        )
    problems.extend(shared(in_force))
    problems.extend(own.conflicts(in_force))
    if role is not None and roles.DATABASE_UNIT in role.steps:
        problems.extend(own.incomplete(in_force))
    return problems


def shared(in_force: Mapping[str, str]) -> list[str]:
    """A sentence for each secret of workers that is another one as well: tasks would know both."""
    private = [(name, key) for name in _NOT_ON_WORKERS for key in in_force.get(name, "").split(",")]
    with suppress(ValueError):  # a connection that cannot be read has a sentence of its own
        private += [
            (name, url.password or "")
            for name in _DATABASES
            if name in in_force
            for url, _ in _urls(name, in_force[name])
            if url.user != _WORKER
        ]
    return [
        f"{name} and {other} have the same value: the code of tasks can read the former and would know the "
        "latter: store another value"
        for name in _ON_WORKERS
        for other, value in dict.fromkeys(private)
        if value and value == in_force.get(name)
    ]


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
    return name in _RESOLVED_BY_AIRFLOW and (f"{name}_CMD" in in_force or f"{name}_SECRET" in in_force)


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


def ambiguous_reason(name: str, value: str) -> str | None:
    """Why Airflow, SQLAlchemy and Airkiln's programs would not all read the same in this value, or None."""
    if name.startswith(_AIRFLOW) and _EXPANDED.search(value):
        return (
            "Airflow replaces $NAME and a first ~ in the value: write %24 for $ in a URL, \\u0024 in JSON, "
            "and paths in full"
        )
    try:
        if name == roles.EXECUTION_API:
            urls.parse_execution_api(value)
        _urls(name, value)
    except ValueError as error:
        return str(error)
    return None


def _urls(name: str, value: str) -> list[tuple[Url, Mapping[str, str]]]:
    """The connections of a value with their options; none of a value that is not a connection.

    Raises ValueError for what is not one.
    """
    if name in (*_DATABASES, roles.RESULT_BACKEND, roles.BROKER) and not value.strip():
        raise ValueError("the connection is empty: store its URL")
    if name in _DATABASES:
        return [urls.parse_database(value)]
    if name == roles.RESULT_BACKEND and value.startswith("db+postgres"):
        return [urls.parse_database(value.removeprefix("db+"))]
    if name in (roles.RESULT_BACKEND, roles.BROKER):
        return [(url, {}) for url in urls.parse_brokers(value)]
    return []


def weak_reason(name: str, value: str) -> str | None:
    """Why this secret or connection is refused; None for a good one, and for a value that is neither."""
    if name == roles.FERNET_KEY:
        return strength.weak_fernet_reason(value)
    if name in (roles.JWT_KEY, roles.API_KEY):
        return strength.weak_key_reason(value)
    if name in _OUR_PASSWORDS:
        return strength.weak_password_reason(value)
    for url, options in _urls(name, value):
        reason = _weak_url(name, url, options)
        if reason is not None:
            return reason
    return None


def _weak_url(name: str, url: Url, options: Mapping[str, str]) -> str | None:
    modes = {options.get("sslmode", ""), options.get("ssl", "").lower()}
    if url.host not in _LOCAL_HOSTS and modes & _WEAK_TLS:
        return (
            "the connection may be in clear text: write sslmode=verify-full, or ssl=verify-full for asyncpg"
        )
    password = url.password
    if password is None or (not password and name == roles.BROKER):
        return None  # redis://:@host is a Redis without a password: who may reach it is the network's matter
    if strength.is_known(password) or password == url.user:
        return (
            "the connection's password is empty, a default or a published example: change it where it is used"
        )
    if strength.is_guessable(password, strength.MIN_PASSWORD_REST):
        return (
            "the connection's password is short, or made of words, repetitions or rows of characters: change "
            "it where it is used"
        )
    return None


def unverified_reason(name: str, value: str) -> str | None:
    """Why whoever poses as the database's server would be believed, or None."""
    if name == roles.BROKER or (name == roles.RESULT_BACKEND and not value.startswith("db+postgres")):
        return None
    for url, options in _urls(name, value):
        by_libpq = options.get("sslmode") == "verify-full" and options.get("sslrootcert", "")
        if url.host in _LOCAL_HOSTS or by_libpq or options.get("ssl", "").lower() == "verify-full":
            continue
        return (
            "the connection does not verify the database's certificate: write "
            f"sslmode=verify-full&sslrootcert={AUTHORITY}, or store {UNVERIFIED} with the value {ALLOWED} "
            "where nobody can pose as the server"
        )
    return None


def authorities(values: Mapping[str, str]) -> dict[str, str]:
    """The files of certificates that connections name, and the first variable that names each."""
    found: dict[str, str] = {}
    for name, value in values.items():
        for _, options in _urls(name, value):
            path = options.get("sslrootcert", "")
            if path.startswith("/"):
                found.setdefault(path, name)
    return found


def open_reason(name: str, value: str) -> str | None:
    """Why the setting opens a door to everybody, or None."""
    for names, values, what in _OPEN_DOORS:
        if names.fullmatch(name) and values.fullmatch(value):
            return f"the value {what}: remove the parameter, and give people roles of their own"
    return None
