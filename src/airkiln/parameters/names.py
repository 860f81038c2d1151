"""What a parameter may be called. A parameter is an environment variable of every process of a role, root's
too, so no name may change which code, keys, endpoints or files a process loads."""

from __future__ import annotations

import re

from airkiln.parameters import own

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SHELL = "what shells read when they start"
_SETTINGS = "where programs find their settings"
_AWS = "whose credentials the AWS SDK uses, or where it finds them"
_TLS = "how OpenSSL works, or who learns its keys"
_RESOLVER = "how host names are resolved"
_LANGUAGE = "which code an interpreter loads"
_WEB_SERVER = "whom the web server believes, or how it starts"

LOADING_NAMES = {
    "PATH": "which programs run",
    "HOME": _SETTINGS,
    "TMPDIR": "where programs keep their temporary files",
    "TZDIR": "which time zone files the C library loads",
    "SHELL": "which shell runs tasks",
    "IFS": "how shells split words",
    "ENV": _SHELL,
    "BASH_ENV": _SHELL,
    "BASHOPTS": _SHELL,
    "CDPATH": _SHELL,
    "PROMPT_COMMAND": _SHELL,
    "PS4": _SHELL,
    "SHELLOPTS": _SHELL,
    "USER": "who the program believes it is",
    "LOGNAME": "who the program believes it is",
    "GCONV_PATH": "which character-set modules the C library loads",
    "LOCPATH": "which locale files the C library loads",
    "NLSPATH": "which message files the C library loads",
    "HOSTALIASES": _RESOLVER,
    "LOCALDOMAIN": _RESOLVER,
    "RES_OPTIONS": _RESOLVER,
    "NOTIFY_SOCKET": "how a unit talks to systemd",
    "LISTEN_FDS": "how a unit talks to systemd",
    "LISTEN_PID": "how a unit talks to systemd",
    "AIRFLOW_HOME": "where Airflow finds its settings",
    "AIRFLOW_CONFIG": "where Airflow finds its settings",
    "SSLKEYLOGFILE": _TLS,
    # docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html; a region and an endpoint of the network
    # (AWS_ENDPOINT_URL, AWS_CA_BUNDLE) are settings of an environment.
    "AWS_ACCESS_KEY_ID": _AWS,
    "AWS_CONFIG_FILE": _AWS,
    "AWS_CREDENTIAL_EXPIRATION": _AWS,
    "AWS_CREDENTIAL_FILE": _AWS,
    "AWS_DATA_PATH": "which models the AWS SDK loads",
    "AWS_DEFAULT_PROFILE": _AWS,
    "AWS_PROFILE": _AWS,
    "AWS_ROLE_ARN": _AWS,
    "AWS_ROLE_SESSION_NAME": _AWS,
    "AWS_SECRET_ACCESS_KEY": _AWS,
    "AWS_SECURITY_TOKEN": _AWS,
    "AWS_SESSION_TOKEN": _AWS,
    "AWS_SHARED_CREDENTIALS_FILE": _AWS,
    "AWS_WEB_IDENTITY_TOKEN_FILE": _AWS,
    "BOTO_CONFIG": _AWS,
    "NODE_OPTIONS": _LANGUAGE,
    "NODE_PATH": _LANGUAGE,
    "RUBYLIB": _LANGUAGE,
    "RUBYOPT": _LANGUAGE,
    "JAVA_TOOL_OPTIONS": _LANGUAGE,
    "JDK_JAVA_OPTIONS": _LANGUAGE,
    "_JAVA_OPTIONS": _LANGUAGE,
    "CELERY_CONFIG_MODULE": "which code Celery loads",
    "CELERY_LOADER": "which code Celery loads",
    "C_FORCE_ROOT": "whether Celery runs as root",
    "FORWARDED_ALLOW_IPS": _WEB_SERVER,
    "WEB_CONCURRENCY": _WEB_SERVER,
    "SSH_ASKPASS": "which program asks for a password",
}
LOADING_PREFIXES = {
    "LD_": "which libraries a program loads",
    "GLIBC_": "how the C library behaves",
    "MALLOC_": "how the C library behaves",
    "PYTHON": "which code Python loads",
    "PERL5": _LANGUAGE,
    "SYSTEMD_": "how systemd's programs behave",
    "INVOCATION_ID": "how a unit talks to systemd",
    "JOURNAL_STREAM": "how a unit talks to systemd",
    "CREDENTIALS_DIRECTORY": "how a unit talks to systemd",
    "WATCHDOG_": "how a unit talks to systemd",
    "XDG_": _SETTINGS,
    "OPENSSL_": _TLS,
    "AWS_CONTAINER_": _AWS,
    "AWS_EC2_METADATA_": _AWS,
    "GIT_": "which programs and settings git uses",
    "GUNICORN_": _WEB_SERVER,
    "UVICORN_": _WEB_SERVER,
    "FLASK_": _WEB_SERVER,
}
ALLOWED_NAMES = frozenset(
    {"PYTHONASYNCIODEBUG", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER", "MALLOC_ARENA_MAX"}
)
"""Names under a refused prefix that load nothing."""
_LIBPQ = re.compile(r"PG[A-Z]+")
"""https://www.postgresql.org/docs/17/libpq-envars.html: each sets what a connection's URL leaves open."""

_OURS = "AIRKILN"
_ALIKE = 0.6
"""How much of a name must agree with a known one for the latter to be meant: difflib's own default."""

_READ_BY_US = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC")
_ELSEWHERE = ("_CMD", "_SECRET")


def bad_name_reason(name: str) -> str | None:
    """Why no parameter may be called so, or None."""
    if not _NAME.fullmatch(name):
        return (
            "the name is not that of an environment variable: use letters, digits and _, and no digit first"
        )
    if name in ALLOWED_NAMES:
        return None
    what = LOADING_NAMES.get(name) or next(
        (text for prefix, text in LOADING_PREFIXES.items() if name.startswith(prefix)), None
    )
    if what is None and _LIBPQ.fullmatch(name):
        what = "how libpq connects to the database"
    if what is not None:
        return f"the name is refused, because it changes {what}: remove the parameter"
    if name.upper().startswith(_OURS):
        return _unknown_reason(name)
    for suffix in _ELSEWHERE:
        if name.endswith(suffix) and name.removesuffix(suffix) in _READ_BY_US:
            return (
                "the name is refused, because Airkiln logs in to the database too and cannot resolve it: "
                f"store the URL itself as {name.removesuffix(suffix)}"
            )
    return None


def _unknown_reason(name: str) -> str | None:
    """Why a name of Airkiln's own is not one of its parameters, or None."""
    if name in own.VALUES:
        return None
    if name in own.SET_BY_AIRKILN:
        return "the name is refused, because Airkiln sets this variable itself: remove the parameter"
    import difflib  # noqa: PLC0415 - start-up counts, and most boots have no use for it

    known = {each.removeprefix(_OURS): each for each in own.VALUES}
    near = difflib.get_close_matches(name.upper().removeprefix(_OURS), known, n=1, cutoff=_ALIKE)
    do = f"write {known[near[0]]} if that is meant" if near else "remove the parameter"
    return f"the name is refused, because no program of Airkiln reads a parameter of this name: {do}"
