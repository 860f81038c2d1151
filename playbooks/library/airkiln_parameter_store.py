"""Secrets, Airflow's configuration and the stacks' outputs in Parameter Store.

Secrets are drawn, composed into connection URLs and written inside this one process: no value of them is ever
an argument, a result or a variable of Ansible.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # AnsibleAWSModule says so
    BotoCoreError = ClientError = Exception  # type: ignore[assignment,misc]  # never raised then

DOCUMENTATION = """
module: airkiln_parameter_store
short_description: The parameters of one Airkiln environment
description: >-
  Draws secrets that are not there yet, and brings the other parameters to what is given. A secret that
  exists is never drawn again and never overwritten. What this module wrote before and is given no more is
  removed.
options:
  path:
    description: Folder of the environment, such as /airkiln/prod.
    type: str
    required: true
  key_id:
    description: KMS key of the SecureStrings. Needed where one is to be written.
    type: str
    default: ""
  secrets:
    description: >-
      Secrets by the path below the folder at which each is kept; the value is its kind, one of fernet, token,
      password.
    type: dict
    default: {}
  parameters:
    description: >-
      Folders with parameters. In a value {secret:<path>} stands for the secret kept at the path, and
      {secret-in-url:<path>} for the same with what an URL cannot hold encoded; such a parameter is a
      SecureString.
    type: dict
    default: {}
  secret_parameters:
    description: Folders with parameters whose values are secret as they are given.
    type: dict
    default: {}
  folders:
    description: Folders in which parameters that this module wrote and that are given no more are removed.
    type: list
    elements: str
    default: []
  not_known_yet:
    description: Text that stands in values which only a real run can know; used in check mode.
    type: str
    default: ""
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
"""

KINDS: dict[str, Callable[[], str]] = {
    "fernet": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "token": lambda: secrets.token_urlsafe(48),
    # RDS and ElastiCache take no / " @ nor a space; 32 letters and digits, - and _ are 192 bits.
    "password": lambda: secrets.token_urlsafe(24),
}
# Three writes a second are Parameter Store's own limit: the SDK slows down when it is told so.
RETRIES = {"retries": {"mode": "adaptive", "max_attempts": 12}}
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


class RefusedError(Exception):
    """What was asked for cannot be; the text is a sentence without any value."""


def drawn(kinds: Mapping[str, str], held: Mapping[str, Held]) -> dict[str, Wanted]:
    """The secrets that are not there yet."""
    for path, kind in kinds.items():
        if kind not in KINDS:
            raise RefusedError(f"{path}: there is no kind of secret {kind!r}; there are {', '.join(KINDS)}.")
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
    """Every parameter with the secrets of `known` filled in. RefusedError names what cannot be written."""
    wanted = {}
    for secure, folders in ((False, parameters), (True, secret_parameters)):
        for folder, values in folders.items():
            for name, given in (values or {}).items():
                path = f"{folder}/{name}"
                text = _text(given)
                wanted[path] = Wanted(_filled(path, text, known), secure or bool(REFERENCE.search(text)))
    for path, one in wanted.items():
        size = len(one.value.encode())
        if size == 0:
            raise RefusedError(f"{path} is empty, which Parameter Store does not take: leave it out.")
        if size > LONGEST_BYTES:
            raise RefusedError(f"{path} is {size} bytes long, and a parameter holds at most {LONGEST_BYTES}.")
        if one.secure is False and "{{" in one.value:
            raise RefusedError(f"{path} holds {{{{, which Parameter Store does not take.")
    return wanted


def _text(value: Any) -> str:  # noqa: ANN401 - YAML
    """A value as Airflow reads it from its environment."""
    return str(value) if not isinstance(value, bool) else "True" if value else "False"


def _filled(path: str, text: str, known: Mapping[str, str]) -> str:
    def secret(match: re.Match[str]) -> str:
        if match[2] not in known:
            raise RefusedError(f"{path} refers to the secret {match[2]}, which there is not.")
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
            )
            for page in pages
            for each in page["Parameters"]
        }

    def write(self, change: Change) -> None:
        """Do one change. What is there and is only to be drawn stays: AWS refuses it without Overwrite."""
        name = f"{self._path}/{change.name}"
        wanted, held = change.wanted, change.held
        if wanted is not None and wanted.secure and not self._key:
            raise RefusedError(f"{name} is a secret, and no key_id is given to encrypt it.")
        if wanted is None or (held is not None and held.secure != wanted.secure):
            self._ssm.delete_parameter(Name=name)  # a parameter's type cannot be changed
        if wanted is None:
            return
        self._ssm.put_parameter(
            Name=name,
            Value=wanted.value,
            Description=wanted.description,
            Type="SecureString" if wanted.secure else "String",
            Overwrite=wanted.description != DRAWN and held is not None and held.secure == wanted.secure,
            Tier="Standard" if len(wanted.value.encode()) <= STANDARD_BYTES else "Advanced",
            **({"KeyId": self._key} if wanted.secure else {}),
        )


def bring_about(module: Any, store: Store) -> list[Change]:  # noqa: ANN401 - AnsibleAWSModule
    """Read, decide and, unless in check mode, write."""
    given = module.params
    held = store.read()
    new = drawn(given["secrets"], held)
    if not module.check_mode:
        # First, and each by itself: what is composed from them must never hold a value that is not kept.
        for path, one in new.items():
            store.write(Change(path, one, None))
    known = {path: held[path].value for path in given["secrets"] if path in held}
    known |= {path: one.value for path, one in new.items()}
    wanted = composed(given["parameters"], given["secret_parameters"], known)
    twice = set(wanted) & set(given["secrets"])
    if twice:
        raise RefusedError(f"{', '.join(sorted(twice))}: drawn once and kept; leave it out of the settings.")
    for path in given["secrets"]:
        if path in held and not held[path].secure:
            module.warn(f"{path} is a secret in clear text: store it as a SecureString.")
        elif path in held and _other_key(held[path], given["key_id"]):
            module.warn(f"{path} is under another key than the environment's: instances may not read it.")
    altered = changes(wanted, held, given["folders"], given["key_id"])
    if not module.check_mode:
        for change in altered:
            store.write(change)
    return [*(Change(path, one, None) for path, one in new.items()), *altered]


def main() -> None:
    """The module."""
    module = AnsibleAWSModule(
        argument_spec={
            "path": {"type": "str", "required": True},
            "key_id": {"type": "str", "default": "", "no_log": False},
            "secrets": {"type": "dict", "default": {}, "no_log": False},
            "parameters": {"type": "dict", "default": {}},
            "secret_parameters": {"type": "dict", "default": {}, "no_log": True},
            "folders": {"type": "list", "elements": "str", "default": []},
            "not_known_yet": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        done = bring_about(
            module,
            Store(module.client("ssm", config=RETRIES), module.params["path"], module.params["key_id"]),
        )
    except RefusedError as refused:
        module.fail_json(msg=str(refused))
    except ClientError as error:
        # Never AWS's own sentence: it repeats values that it does not like.
        module.fail_json(
            msg=f"Parameter Store refuses {error.operation_name} below {module.params['path']}: "
            f"{error.response['Error'].get('Code', 'no reason given')}. Look at the caller's rights to it "
            "and to the key."
        )
    except BotoCoreError as error:
        module.fail_json(msg=f"Parameter Store is out of reach: {type(error).__name__}.")
    shown = {change.name: change.shown for change in done}
    module.exit_json(
        changed=bool(done),
        names=sorted(shown),
        diff={
            "before": "".join(f"{name}: {before}\n" for name, (before, _) in sorted(shown.items()) if before),
            "after": "".join(f"{name}: {after}\n" for name, (_, after) in sorted(shown.items()) if after),
        },
    )


if __name__ == "__main__":
    main()
