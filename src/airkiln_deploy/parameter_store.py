"""Secrets, Airflow's configuration and the stacks' outputs in Parameter Store.

Secrets are drawn, composed into connection URLs and written inside this one process. Their values are never
an argument, a result or a variable of Ansible, and no error message repeats one.
"""

from __future__ import annotations

import base64
import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from airkiln_deploy.errors import DeployError
from airkiln_deploy.yaml_values import text as as_text

_ALPHABET = string.ascii_letters + string.digits
"""What every reader of a secret takes unchanged: RDS (no / " @ and blanks), ElastiCache (of the other
characters ! & # $ ^ < > - only), URLs, systemd, shells, and Airflow, which expands $."""


def _drawn(length: int) -> str:
    """A secret of `length` characters with 5.95 bits each."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


KINDS: dict[str, Callable[[], str]] = {
    "fernet": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "token": lambda: _drawn(64),
    "password": lambda: _drawn(32),
}
REDIS_TOKEN = "deploy/REDIS_TOKEN"  # noqa: S105 - where it is kept
_REDIS_TOKEN = re.compile(r"[A-Za-z0-9!&#$^<>-]{16,128}")
"""docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth.html"""
MASTER_PASSWORD = "database/AIRKILN_ADMIN_DATABASE_PASSWORD"  # noqa: S105 - where it is kept
_MASTER_PASSWORD = re.compile(r"[!#-.0-?A-~]{8,128}")
"""MasterUserPassword of RDS's CreateDBInstance: printable ASCII but / " @ and the blank."""
TAKEN = {
    REDIS_TOKEN: (_REDIS_TOKEN, "ElastiCache takes 16 to 128 letters, digits and ! & # $ ^ < > -"),
    MASTER_PASSWORD: (
        _MASTER_PASSWORD,
        'RDS takes 8 to 128 printable ASCII characters without / " @ and blanks',
    ),
}
"""Secrets that people may have stored, and that a service of AWS takes in part only."""
RETRIES = {"retries": {"mode": "adaptive", "max_attempts": 12}}
"""Settings of the client: Parameter Store takes three writes a second, and the SDK then slows down."""
DRAWN = "Airkiln: drawn once by deploy.yml, which never changes it."
WRITTEN = "Airkiln: written by deploy.yml, which overwrites changes."
STANDARD_BYTES = 4096
"""What a standard parameter holds; more takes an advanced one, which costs."""
LONGEST_BYTES = 8192
REFERENCE = re.compile(r"\{secret(-in-url)?:([A-Za-z0-9_./-]+)\}")


@dataclass(frozen=True)
class Held:
    """A parameter as Parameter Store has it."""

    value: str = field(repr=False)
    secure: bool
    description: str = ""
    key: str = ""
    tier: str = ""


@dataclass(frozen=True)
class Wanted:
    """A parameter as it is to be."""

    value: str = field(repr=False)
    secure: bool
    description: str = WRITTEN


@dataclass
class Change:
    """What is done to one parameter; `before` and `after` may be shown."""

    name: str
    wanted: Wanted | None
    held: Held | None

    @property
    def shown(self) -> tuple[str, str]:
        """Before and after, a secret as a word about it."""
        before = "" if self.held is None else "a secret" if self.held.secure else self.held.value
        if self.wanted is None:
            return before, ""
        after = "a secret" if self.wanted.secure else self.wanted.value
        return before, "another secret" if before == after == "a secret" else after


@dataclass(frozen=True)
class Request:
    """What the parameters of an environment have to be; the fields are the module's options."""

    secrets: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secret_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    folders: list[str] = field(default_factory=list)
    key_id: str = ""


@dataclass(frozen=True)
class Outcome:
    """The parameters that were written or removed, or in check mode would be, and what to warn of."""

    changes: list[Change]
    warnings: list[str]

    def names(self) -> list[str]:
        """The names of the changed parameters, sorted."""
        return sorted(change.name for change in self.changes)

    def diff(self) -> dict[str, str]:
        """Before and after, as Ansible shows a difference; secrets are words about them."""
        shown = {change.name: change.shown for change in self.changes}
        return {
            "before": "".join(f"{name}: {before}\n" for name, (before, _) in sorted(shown.items()) if before),
            "after": "".join(f"{name}: {after}\n" for name, (_, after) in sorted(shown.items()) if after),
        }


def drawn(kinds: Mapping[str, str], held: Mapping[str, Held]) -> dict[str, Wanted]:
    """The secrets that are not there yet."""
    for path, kind in kinds.items():
        if kind not in KINDS:
            raise DeployError(f"{path}: there is no kind of secret {kind!r}; there are {', '.join(KINDS)}.")
    return {
        path: Wanted(KINDS[kind](), secure=True, description=DRAWN)
        for path, kind in kinds.items()
        if path not in held
    }


def composed(
    parameters: Mapping[str, Mapping[str, Any]],
    secret_parameters: Mapping[str, Mapping[str, Any]],
    known: Mapping[str, str],
) -> dict[str, Wanted]:
    """Every parameter with the secrets of `known` filled in. DeployError if one cannot be written."""
    wanted = {}
    for secure, folders in ((False, parameters), (True, secret_parameters)):
        for folder, values in folders.items():
            for name, given in (values or {}).items():
                path = f"{folder}/{name}"
                try:
                    text = as_text(given)
                except DeployError as error:
                    raise DeployError(f"{path} {error}.") from None
                wanted[path] = Wanted(_filled(path, text, known), secure or bool(REFERENCE.search(text)))
    for path, one in wanted.items():
        size = len(one.value.encode())
        if size == 0:
            raise DeployError(f"{path} is empty, which Parameter Store does not take: leave it out.")
        if size > LONGEST_BYTES:
            raise DeployError(f"{path} is {size} bytes long, and a parameter holds at most {LONGEST_BYTES}.")
        if one.secure is False and "{{" in one.value:
            raise DeployError(f"{path} holds {{{{, which Parameter Store does not take.")
    return wanted


def _filled(path: str, text: str, known: Mapping[str, str]) -> str:
    def secret(match: re.Match[str]) -> str:
        if match[2] not in known:
            raise DeployError(f"{path} refers to the secret {match[2]}, which does not exist.")
        return quote(known[match[2]], safe="") if match[1] else known[match[2]]

    return REFERENCE.sub(secret, text)


def changes(
    wanted: Mapping[str, Wanted], held: Mapping[str, Held], folders: list[str], key: str
) -> list[Change]:
    """What differs, in order of the names; parameters to be removed among it."""
    found = [
        Change(path, one, held.get(path))
        for path, one in wanted.items()
        if path not in held or not _agree(one, held[path], key)
    ]
    found += [
        Change(path, None, one)
        for path, one in held.items()
        if path not in wanted and one.description == WRITTEN and path.split("/")[0] in folders
    ]
    return sorted(found, key=lambda change: change.name)


def _agree(wanted: Wanted, held: Held, key: str) -> bool:
    same = wanted.value == held.value and wanted.secure == held.secure
    return same and not _other_key(held, key)


def _other_key(held: Held, key: str) -> bool:
    """Whether it is under another key, so that instances could not read it. An alias tells nothing."""
    return held.secure and bool(key) and ":key/" in held.key and held.key != key


class Store:
    """The parameters below one folder."""

    def __init__(self, ssm: Any, path: str, key: str) -> None:  # noqa: ANN401 - boto3
        self._ssm = ssm
        self._path = path.rstrip("/")
        self._key = key

    def read(self) -> dict[str, Held]:
        """Every parameter, by its path below the folder."""
        prefix = f"{self._path}/"
        about = {
            each["Name"]: each
            for page in self._ssm.get_paginator("describe_parameters").paginate(
                ParameterFilters=[{"Key": "Path", "Option": "Recursive", "Values": [self._path]}],
                PaginationConfig={"PageSize": 50},
            )
            for each in page["Parameters"]
        }
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(
            Path=self._path, Recursive=True, WithDecryption=True
        )
        return {
            each["Name"].removeprefix(prefix): Held(
                each["Value"],
                each["Type"] == "SecureString",
                about.get(each["Name"], {}).get("Description", ""),
                about.get(each["Name"], {}).get("KeyId", ""),
                about.get(each["Name"], {}).get("Tier", ""),
            )
            for page in pages
            for each in page["Parameters"]
        }

    def write(self, change: Change) -> None:
        """Do one change. What is there and is only to be drawn stays: AWS refuses it without Overwrite."""
        name = f"{self._path}/{change.name}"
        wanted, held = change.wanted, change.held
        if wanted is not None and wanted.secure and not self._key:
            raise DeployError(f"{name} is a secret, and no key_id is given to encrypt it.")
        if wanted is None or (held is not None and held.secure != wanted.secure):
            self._ssm.delete_parameter(Name=name)  # a parameter's type cannot be changed
            held = None
        if wanted is None:
            return
        self._ssm.put_parameter(
            Name=name,
            Value=wanted.value,
            Description=wanted.description,
            Type="SecureString" if wanted.secure else "String",
            Overwrite=wanted.description != DRAWN and held is not None,
            Tier=_tier(wanted, held),
            **({"KeyId": self._key} if wanted.secure else {}),
        )


def _tier(wanted: Wanted, held: Held | None) -> str:
    """An advanced parameter stays one: AWS refuses to make it a standard one again."""
    advanced = len(wanted.value.encode()) > STANDARD_BYTES or (held is not None and held.tier == "Advanced")
    return "Advanced" if advanced else "Standard"


def reconcile(ssm: Any, path: str, request: Request, *, check_mode: bool) -> Outcome:  # noqa: ANN401 - boto3
    """Bring the parameters below `path` to the request; in check mode only say what would change.

    Raises DeployError, whose text holds no value of a parameter. It gives AWS's error code and not its
    which repeats the value.
    """
    try:
        return _reconcile(Store(ssm, path, request.key_id), request, check_mode)
    except ClientError as error:
        raise DeployError(
            f"Parameter Store refused {error.operation_name} below {path}: "
            f"{error.response['Error'].get('Code', 'it gave no reason')}. Check that the caller may call it "
            "there and use the environment's KMS key."
        ) from error
    except BotoCoreError as error:
        raise DeployError(
            f"Parameter Store cannot be reached: {type(error).__name__}. Check the region and the network."
        ) from error


def _reconcile(store: Store, request: Request, check_mode: bool) -> Outcome:
    held = store.read()
    new = drawn(request.secrets, held)
    if not check_mode:
        # First, and each by itself: what is composed from a secret must never be kept when the secret is not.
        for path, one in new.items():
            store.write(Change(path, one, None))
    known = {path: held[path].value for path in request.secrets if path in held}
    known |= {path: one.value for path, one in new.items()}
    wanted = composed(request.parameters, request.secret_parameters, known)
    twice = set(wanted) & set(request.secrets)
    if twice:
        raise DeployError(
            f"{', '.join(sorted(twice))}: a deployment draws this secret once and keeps it. "
            "Leave it out of the settings."
        )
    altered = changes(wanted, held, request.folders, request.key_id)
    if not check_mode:
        for change in altered:
            store.write(change)
    created = [Change(path, one, None) for path, one in new.items()]
    return Outcome([*created, *altered], _warnings(request, held))


def _warnings(request: Request, held: Mapping[str, Held]) -> list[str]:
    found = []
    for path in request.secrets:
        if path in held and not held[path].secure:
            found.append(f"{path} is a secret in clear text. Store it as a SecureString.")
        elif path in held and _other_key(held[path], request.key_id):
            found.append(
                f"{path} is encrypted with another key than the environment's, so instances may not read it. "
                "Store it again under the environment's key."
            )
    found += [
        f"{path} cannot be used: {taken}. Delete the parameter unless the service already runs with it; the "
        "next deployment draws another."
        for path, (characters, taken) in TAKEN.items()
        if path in request.secrets and path in held and not characters.fullmatch(held[path].value)
    ]
    return found
