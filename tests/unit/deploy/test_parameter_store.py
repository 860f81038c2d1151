"""Secrets and configuration on their way to Parameter Store."""

from __future__ import annotations

import base64
import re
from os.path import expandvars
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from botocore.exceptions import ClientError, EndpointConnectionError

from airkiln.parameters import rules
from airkiln.systemd import envfile
from airkiln_deploy import parameter_store as store
from airkiln_deploy.errors import DeployError

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
        if name in self.held and (self.held[name].get("Tier"), given["Tier"]) == ("Advanced", "Standard"):
            raise ClientError({"Error": {"Code": "ValidationException"}}, "PutParameter")
        self.held[name] = given

    def delete_parameter(self, Name: str) -> None:  # noqa: N803 - boto's
        self.calls.append(f"delete {Name}")
        del self.held[Name]


@pytest.fixture
def ssm() -> Ssm:
    return Ssm()


def run(ssm: Ssm, *, check_mode: bool = False, **given: Any) -> list[str]:  # noqa: ANN401 - any field
    return [change.name for change in outcome(ssm, check_mode=check_mode, **given).changes]


def outcome(ssm: Ssm, *, check_mode: bool = False, **given: Any) -> store.Outcome:  # noqa: ANN401 - any field
    request = store.Request(**({"key_id": KEY} | given))
    return store.reconcile(ssm, PATH, request, check_mode=check_mode)


def value(ssm: Ssm, path: str) -> str:
    return str(ssm.held[f"{PATH}/{path}"]["Value"])


SECRETS = {"deploy/FERNET_KEY": "fernet", "deploy/PASSWORD": "password", "deploy/TOKEN": "token"}
URL = {"worker": {"URL": "db://airflow_worker:{secret-in-url:deploy/PASSWORD}@host/airflow"}}


def test_secrets_are_drawn_once(ssm: Ssm) -> None:
    assert run(ssm, secrets=SECRETS) == list(SECRETS)
    before = {name: one["Value"] for name, one in ssm.held.items()}
    assert run(ssm, secrets=SECRETS) == []
    assert {name: one["Value"] for name, one in ssm.held.items()} == before
    assert len(set(before.values())) == 3


def test_a_fernet_key_is_32_bytes_and_a_password_one_that_rds_takes(ssm: Ssm) -> None:
    run(ssm, secrets=SECRETS)
    assert len(base64.urlsafe_b64decode(value(ssm, "deploy/FERNET_KEY"))) == 32
    assert 16 <= len(value(ssm, "deploy/PASSWORD")) <= 128
    assert not set(value(ssm, "deploy/PASSWORD")) & set('/"@ ')


def declared() -> dict[str, str]:
    """Every secret that deploy.yml draws, with its kind."""
    text = (Path(__file__).parents[3] / "playbooks/vars/airflow_parameters.yml").read_text()
    found: dict[str, str] = yaml.safe_load(text)["airkiln_secrets"]
    return found


@pytest.mark.parametrize("path", declared())
def test_every_reader_takes_a_drawn_secret_unchanged(path: str) -> None:
    for _ in range(200):
        drawn = store.KINDS[declared()[path]]()
        assert expandvars(drawn) == drawn, "Airflow expands"
        assert envfile.parse(f"NAME={drawn}") == {"NAME": drawn}, "systemd, without quotes"
        assert rules.unusable_reason(drawn) is None
        if declared()[path] != "fernet":
            assert quote(drawn, safe="") == drawn, "in a URL"
            assert re.fullmatch(r"[A-Za-z0-9!&#$^<>-]{16,128}", drawn), "ElastiCache"
            assert re.fullmatch(r"[^/\"@\s]{8,128}", drawn), "RDS"


@pytest.mark.parametrize("path", store.TAKEN)
@pytest.mark.parametrize(("chosen", "problems"), [("letters-of-16-chars", 0), ("under_score/and more", 1)])
def test_a_stored_secret_that_aws_refuses_is_named(ssm: Ssm, path: str, chosen: str, problems: int) -> None:
    ssm.held[path] = {"Name": f"{PATH}/{path}", "Value": chosen, "Type": "SecureString"}
    warnings = outcome(ssm, secrets={path: "password"}).warnings
    assert [path in warning for warning in warnings] == [True] * problems
    assert chosen not in "".join(warnings)


def test_a_url_with_a_password_is_a_securestring_under_the_key(ssm: Ssm) -> None:
    run(ssm, secrets=SECRETS, parameters=URL)
    made = ssm.held[f"{PATH}/worker/URL"]
    assert made["Value"] == f"db://airflow_worker:{value(ssm, 'deploy/PASSWORD')}@host/airflow"
    assert (made["Type"], made["KeyId"]) == ("SecureString", KEY)


def test_a_password_that_people_chose_is_encoded_in_a_url(ssm: Ssm) -> None:
    ssm.held[f"{PATH}/deploy/PASSWORD"] = {
        "Name": f"{PATH}/deploy/PASSWORD",
        "Value": "a@b/c%d",
        "Type": "SecureString",
    }
    run(ssm, secrets=SECRETS, parameters=URL)
    assert value(ssm, "worker/URL") == "db://airflow_worker:a%40b%2Fc%25d@host/airflow"
    assert value(ssm, "deploy/PASSWORD") == "a@b/c%d"


def test_what_holds_no_secret_is_a_string_and_truth_is_airflows(ssm: Ssm) -> None:
    run(ssm, parameters={"common": {"A": True, "B": 3, "C": "text"}})
    assert [value(ssm, f"common/{name}") for name in "ABC"] == ["True", "3", "text"]
    assert {one["Type"] for one in ssm.held.values()} == {"String"}


def test_an_advanced_parameter_stays_one_when_it_is_shortened(ssm: Ssm) -> None:
    run(ssm, parameters={"common": {"A": "x" * 5000}})
    run(ssm, parameters={"common": {"A": "short"}})
    assert (value(ssm, "common/A"), ssm.held[f"{PATH}/common/A"]["Tier"]) == ("short", "Advanced")


def test_one_that_is_written_anew_as_a_secret_is_a_standard_one_again(ssm: Ssm) -> None:
    run(ssm, parameters={"common": {"A": "x" * 5000}})
    run(ssm, secret_parameters={"common": {"A": "short"}})
    assert ssm.held[f"{PATH}/common/A"]["Tier"] == "Standard"


def test_a_second_run_writes_nothing(ssm: Ssm) -> None:
    given: dict[str, Any] = {
        "secrets": SECRETS,
        "parameters": URL,
        "secret_parameters": {"common": {"S": "x"}},
    }
    run(ssm, **given)
    ssm.calls.clear()
    assert run(ssm, **given) == []
    assert ssm.calls == []


def test_check_mode_draws_and_writes_nothing_and_names_everything(ssm: Ssm) -> None:
    names = run(ssm, check_mode=True, secrets=SECRETS, parameters=URL, key_id="")
    assert names == [*SECRETS, "worker/URL"]
    assert ssm.held == {}


def test_what_is_given_no_more_is_removed_and_what_people_wrote_stays(ssm: Ssm) -> None:
    run(ssm, secrets=SECRETS, parameters={"common": {"OLD": "1", "NEW": "1"}})
    ssm.held[f"{PATH}/common/HAND"] = {"Name": f"{PATH}/common/HAND", "Value": "1", "Type": "String"}
    assert run(ssm, parameters={"common": {"NEW": "1"}}, folders=["common", "deploy"]) == ["common/OLD"]
    assert {name.removeprefix(f"{PATH}/") for name in ssm.held} == {"common/NEW", "common/HAND", *SECRETS}


def test_a_setting_that_becomes_secret_is_made_anew_because_its_type_cannot_change(ssm: Ssm) -> None:
    run(ssm, parameters={"common": {"A": "1"}})
    run(ssm, secret_parameters={"common": {"A": "1"}})
    assert ssm.calls[-2:] == [f"delete {PATH}/common/A", f"put {PATH}/common/A"]
    assert ssm.held[f"{PATH}/common/A"]["Type"] == "SecureString"


def test_a_copy_under_another_key_is_written_again_and_a_kept_secret_is_warned_of(ssm: Ssm) -> None:
    run(ssm, secrets=SECRETS, parameters=URL)
    for one in ssm.held.values():
        one["KeyId"] = KEY.replace("0000-0000", "1111-1111")
    found = outcome(ssm, secrets=SECRETS, parameters=URL)
    assert [change.name for change in found.changes] == ["worker/URL"]
    assert len(found.warnings) == 3
    assert "another key" in found.warnings[0]


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
            "deploy/TOKEN: a deployment draws this secret once",
        ),
        ({"secret_parameters": {"common": {"A": "hush"}}, "key_id": ""}, "no key_id is given"),
    ],
)
def test_what_cannot_be_written_is_refused_without_its_value(
    ssm: Ssm, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DeployError) as refusal:
        run(ssm, **given)
    assert sentence in str(refusal.value)
    assert not any(hidden in str(refusal.value) for hidden in ("hush", "xxx", "mine"))


def test_a_change_is_shown_without_a_secret() -> None:
    held, wanted = store.Held("old", True), store.Wanted("new", True)
    assert store.Change("a", wanted, held).shown == ("a secret", "another secret")
    assert store.Change("a", wanted, None).shown == ("", "a secret")
    assert "old" not in repr(held)
    assert "new" not in repr(wanted)


def test_a_difference_is_shown_without_a_secret(ssm: Ssm) -> None:
    found = outcome(ssm, secrets=SECRETS, parameters={"common": {"A": "1"}, **URL})
    assert found.names() == ["common/A", *SECRETS, "worker/URL"]
    assert found.diff()["after"].splitlines()[:2] == ["common/A: 1", "deploy/FERNET_KEY: a secret"]


def test_a_refusal_of_aws_is_told_by_its_code_because_its_message_holds_the_value(
    ssm: Ssm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**given: object) -> None:
        message = f"bad value {given['Value']}"
        raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "PutParameter")

    monkeypatch.setattr(ssm, "put_parameter", refuse)
    with pytest.raises(DeployError) as refusal:
        run(ssm, parameters={"common": {"A": "hush"}})
    assert f"refused PutParameter below {PATH}: ValidationException" in str(refusal.value)
    assert "hush" not in str(refusal.value)


def test_a_store_that_does_not_answer_is_named(ssm: Ssm, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(operation: str) -> None:
        raise EndpointConnectionError(endpoint_url="https://ssm.invalid")

    monkeypatch.setattr(ssm, "get_paginator", fail)
    with pytest.raises(DeployError, match=r"cannot be reached: EndpointConnectionError\. Check the region"):
        run(ssm)
