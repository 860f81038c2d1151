"""Secrets and configuration on their way to Parameter Store."""

from __future__ import annotations

import base64
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError

KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
PATH = "/airkiln/prod"


class Ssm:
    """Parameter Store in memory, as strict as AWS about types and overwriting."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, object]] = {}
        self.calls: list[str] = []

    def get_paginator(self, operation: str) -> Ssm:
        return self

    def paginate(self, **_: object) -> list[dict[str, Any]]:
        return [{"Parameters": list(self.held.values())}]

    def put_parameter(self, **given: object) -> None:
        name = str(given["Name"])
        self.calls.append(f"put {name}")
        if name in self.held and not given["Overwrite"]:
            raise ClientError({"Error": {"Code": "ParameterAlreadyExists"}}, "PutParameter")
        assert name not in self.held or self.held[name]["Type"] == given["Type"]
        self.held[name] = given

    def delete_parameter(self, Name: str) -> None:  # noqa: N803 - boto's
        self.calls.append(f"delete {Name}")
        del self.held[Name]


class Module:
    """What the program needs of an Ansible module."""

    def __init__(self, **params: object) -> None:
        self.check_mode = params.pop("check_mode", False)
        self.warnings: list[str] = []
        self.params = {
            "secrets": {},
            "parameters": {},
            "secret_parameters": {},
            "folders": [],
            "key_id": KEY,
            "path": PATH,
        } | params

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def ssm() -> Ssm:
    return Ssm()


def run(store: ModuleType, ssm: Ssm, **params: object) -> list[str]:
    module = Module(**params)
    done = store.bring_about(module, store.Store(ssm, PATH, module.params["key_id"]))
    return [change.name for change in done]


def value(ssm: Ssm, path: str) -> str:
    return str(ssm.held[f"{PATH}/{path}"]["Value"])


SECRETS = {"deploy/FERNET_KEY": "fernet", "deploy/PASSWORD": "password", "deploy/TOKEN": "token"}
URL = {"worker": {"URL": "db://airflow_worker:{secret-in-url:deploy/PASSWORD}@host/airflow"}}


def test_secrets_are_drawn_once(store: ModuleType, ssm: Ssm) -> None:
    assert run(store, ssm, secrets=SECRETS) == list(SECRETS)
    before = {name: one["Value"] for name, one in ssm.held.items()}
    assert run(store, ssm, secrets=SECRETS) == []
    assert {name: one["Value"] for name, one in ssm.held.items()} == before
    assert len(set(before.values())) == 3


def test_a_fernet_key_is_32_bytes_and_a_password_one_that_rds_takes(store: ModuleType, ssm: Ssm) -> None:
    run(store, ssm, secrets=SECRETS)
    assert len(base64.urlsafe_b64decode(value(ssm, "deploy/FERNET_KEY"))) == 32
    assert 16 <= len(value(ssm, "deploy/PASSWORD")) <= 128
    assert not set(value(ssm, "deploy/PASSWORD")) & set('/"@ ')


def test_a_url_with_a_password_is_a_securestring_under_the_key(store: ModuleType, ssm: Ssm) -> None:
    run(store, ssm, secrets=SECRETS, parameters=URL)
    made = ssm.held[f"{PATH}/worker/URL"]
    assert made["Value"] == f"db://airflow_worker:{value(ssm, 'deploy/PASSWORD')}@host/airflow"
    assert (made["Type"], made["KeyId"]) == ("SecureString", KEY)


def test_a_password_that_people_chose_is_encoded_in_a_url(store: ModuleType, ssm: Ssm) -> None:
    ssm.held[f"{PATH}/deploy/PASSWORD"] = {
        "Name": f"{PATH}/deploy/PASSWORD",
        "Value": "a@b/c%d",
        "Type": "SecureString",
    }
    run(store, ssm, secrets=SECRETS, parameters=URL)
    assert value(ssm, "worker/URL") == "db://airflow_worker:a%40b%2Fc%25d@host/airflow"
    assert value(ssm, "deploy/PASSWORD") == "a@b/c%d"


def test_what_holds_no_secret_is_a_string_and_truth_is_airflows(store: ModuleType, ssm: Ssm) -> None:
    run(store, ssm, parameters={"common": {"A": True, "B": 3, "C": "text"}})
    assert [value(ssm, f"common/{name}") for name in "ABC"] == ["True", "3", "text"]
    assert {one["Type"] for one in ssm.held.values()} == {"String"}


def test_a_second_run_writes_nothing(store: ModuleType, ssm: Ssm) -> None:
    given = {"secrets": SECRETS, "parameters": URL, "secret_parameters": {"common": {"S": "x"}}}
    run(store, ssm, **given)
    ssm.calls.clear()
    assert run(store, ssm, **given) == []
    assert ssm.calls == []


def test_check_mode_draws_and_writes_nothing_and_names_everything(store: ModuleType, ssm: Ssm) -> None:
    names = run(store, ssm, check_mode=True, secrets=SECRETS, parameters=URL, key_id="")
    assert names == [*SECRETS, "worker/URL"]
    assert ssm.held == {}


def test_what_is_given_no_more_is_removed_and_what_people_wrote_stays(store: ModuleType, ssm: Ssm) -> None:
    run(store, ssm, secrets=SECRETS, parameters={"common": {"OLD": "1", "NEW": "1"}})
    ssm.held[f"{PATH}/common/HAND"] = {"Name": f"{PATH}/common/HAND", "Value": "1", "Type": "String"}
    assert run(store, ssm, parameters={"common": {"NEW": "1"}}, folders=["common", "deploy"]) == [
        "common/OLD"
    ]
    assert {name.removeprefix(f"{PATH}/") for name in ssm.held} == {"common/NEW", "common/HAND", *SECRETS}


def test_a_setting_that_becomes_secret_is_made_anew_because_its_type_cannot_change(
    store: ModuleType, ssm: Ssm
) -> None:
    run(store, ssm, parameters={"common": {"A": "1"}})
    run(store, ssm, secret_parameters={"common": {"A": "1"}})
    assert ssm.calls[-2:] == [f"delete {PATH}/common/A", f"put {PATH}/common/A"]
    assert ssm.held[f"{PATH}/common/A"]["Type"] == "SecureString"


def test_a_copy_under_another_key_is_written_again_and_a_kept_secret_is_warned_of(
    store: ModuleType, ssm: Ssm
) -> None:
    run(store, ssm, secrets=SECRETS, parameters=URL)
    for one in ssm.held.values():
        one["KeyId"] = KEY.replace("0000-0000", "1111-1111")
    module = Module(secrets=SECRETS, parameters=URL)
    done = store.bring_about(module, store.Store(ssm, PATH, KEY))
    assert [change.name for change in done] == ["worker/URL"]
    assert len(module.warnings) == 3
    assert "another key" in module.warnings[0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"parameters": {"common": {"A": ""}}}, "common/A is empty"),
        ({"parameters": {"common": {"A": "x" * 9000}}}, "common/A is 9000 bytes long"),
        ({"parameters": {"common": {"A": "{{ x }}"}}}, "common/A holds {{"),
        ({"parameters": {"common": {"A": "{secret:deploy/NONE}"}}}, "refers to the secret deploy/NONE"),
        ({"secrets": {"deploy/A": "magic"}}, "no kind of secret 'magic'"),
        (
            {"secrets": SECRETS, "parameters": {"deploy": {"TOKEN": "mine"}}},
            "deploy/TOKEN: drawn once and kept",
        ),
        ({"secret_parameters": {"common": {"A": "hush"}}, "key_id": ""}, "no key_id is given"),
    ],
)
def test_what_cannot_be_written_is_refused_without_its_value(
    store: ModuleType, ssm: Ssm, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(store.RefusedError) as refusal:
        run(store, ssm, **given)
    assert sentence in str(refusal.value)
    assert not any(hidden in str(refusal.value) for hidden in ("hush", "xxx", "mine"))


def test_a_change_is_shown_without_a_secret(store: ModuleType) -> None:
    held, wanted = store.Held("old", True), store.Wanted("new", True)
    assert store.Change("a", wanted, held).shown == ("a secret", "another secret")
    assert store.Change("a", wanted, None).shown == ("", "a secret")
    assert "old" not in repr(held)
    assert "new" not in repr(wanted)


def test_the_console_gives_our_own_last_lines_each_once(console: ModuleType) -> None:
    text = (
        "[    1.0] Linux version 6.12\n"
        "[   12.3] airkiln[412]: airkiln-database.service has failed (exit-code); its last lines:\n"
        "[   12.3] airkiln[412]: airkiln-database.service has failed (exit-code); its last lines:\n"
        "[   12.4] airkiln[412]: airkiln-database.service: FATAL: no such role\n"
        "ip-10-0-0-1 login:"
    )
    assert console.own_lines(text, 20) == [
        "airkiln-database.service has failed (exit-code); its last lines:",
        "airkiln-database.service: FATAL: no such role",
    ]
