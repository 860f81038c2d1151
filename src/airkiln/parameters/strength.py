"""How hard a secret is to guess. Pure: no sentence holds a value.

Nobody can tell from a text how it was drawn. What is counted here is what a list of words, a repetition and
a row of characters leave of it: enough to refuse what a person typed in place of a drawn secret.
"""

from __future__ import annotations

import base64
import binascii
from itertools import pairwise

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
        "guest",  # RabbitMQ's default
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
MIN_SECRET_REST = 12
"""Characters that must remain of a key without words, repetitions and rows; a random one of 16 keeps them."""
MIN_PASSWORD_CHARACTERS = 12
"""Of a password that Airkiln or an administrator logs in with: NIST SP 800-63B asks for 8, OWASP for 12."""
MIN_PASSWORD_REST = 8
"""Of such a password, and of one in a URL."""
MIN_DISTINCT = 6
"""Different characters of any secret. A random hexadecimal one of 16 has ten of them on average."""

_FERNET_BYTES = 32
_FERNET_DISTINCT = 12
"""Different bytes of a Fernet key: 32 random letters have 20 and more."""
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertz", "letmein", "welcome", "airkiln", "amazon", "root")
_WORDS = sorted((word for word in {*WEAK_SECRETS, *_ROWS} if len(word) >= 4), key=len, reverse=True)
_LOOKALIKES = str.maketrans("0134579@$!", "oleastgasi")


def is_known(value: str) -> bool:
    """Whether this is one of the published or default secrets, in any case and between blanks."""
    return value.strip().lower() in WEAK_SECRETS


def rest(value: str) -> int:
    """How many characters words, a repetition and rows such as 1234 or aaaa leave of a secret."""
    text = _without_words(value.strip().lower())
    period = next(
        (size for size in range(1, len(text) // 2 + 1) if text[size:] == text[:-size]),
        len(text),
    )
    text = text[:period]
    steps = [ord(after) - ord(before) for before, after in pairwise(text)]
    in_rows = sum(1 for before, step in pairwise(steps) if before == step and abs(step) <= 1)
    return len(text) - in_rows


def _without_words(text: str) -> str:
    """The text without the words, whose letters may be written as digits and signs."""
    for word in _WORDS:
        folded, like = text.translate(_LOOKALIKES), word.translate(_LOOKALIKES)
        while (place := folded.find(like)) >= 0:
            text = text[:place] + text[place + len(word) :]
            folded = folded[:place] + folded[place + len(word) :]
    return text


def is_guessable(value: str, least: int) -> bool:
    """Whether fewer than `least` characters remain, or the secret has too few different ones."""
    return rest(value) < least or len(set(value)) < MIN_DISTINCT


def weak_key_reason(value: str) -> str | None:
    """Why this key, which signs tokens or sessions, is refused; or None."""
    make = "make one with `openssl rand -hex 32`"
    if is_known(value):
        return f"the secret is empty, a default or a published example: {make}"
    return _weak_reason("secret", value, MIN_SECRET_CHARACTERS, MIN_SECRET_REST, make)


def weak_password_reason(value: str) -> str | None:
    """Why this password, of an administrator or of Airkiln itself, is refused; or None."""
    make = "make one with `openssl rand -hex 16`"
    if is_known(value):
        return f"the password is empty or a default: {make}"
    return _weak_reason("password", value, MIN_PASSWORD_CHARACTERS, MIN_PASSWORD_REST, make)


def _weak_reason(what: str, value: str, least: int, least_rest: int, make: str) -> str | None:
    if len(value) < least:
        return f"the {what} is shorter than {least} characters: {make}"
    if is_guessable(value, least_rest):
        return f"the {what} is made of words, repetitions or rows of characters: {make}"
    return None


def weak_fernet_reason(value: str) -> str | None:
    """Why this Fernet key, or one of several, is refused; or None."""
    make = "make one with `openssl rand -base64 32 | tr '+/' '-_'`"
    if not value.strip():
        return f"the Fernet key is empty, so Airflow would store passwords in plain text: {make}"
    for key in (part.strip() for part in value.split(",")):
        if key in PUBLISHED_FERNET_KEYS:
            return f"the Fernet key is a published example: {make}"
        if is_known(key):
            return f"the Fernet key is a default, or one of its keys is empty: {make}"
        try:
            raw = base64.b64decode(key.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raw = b""
        if len(raw) != _FERNET_BYTES:
            return f"not a Fernet key (32 bytes in URL-safe base64; several are separated by commas): {make}"
        if len(set(raw)) < _FERNET_DISTINCT or rest(raw.decode("latin-1")) < MIN_SECRET_CHARACTERS:
            return f"the Fernet key is made of words, repetitions or rows of bytes: {make}"
    return None
