"""The parameters that a deployment derives for Airflow, as the playbook's variables state them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from jinja2 import ChainableUndefined, Environment

from airkiln.parameters import rules
from airkiln_deploy.settings import problems

VARIABLES = Path(__file__).parents[3] / "playbooks/vars/airflow_parameters.yml"
VARIABLES_READ: dict[str, Any] = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))
OUTPUTS = {
    "network": {"VpcCidr": "10.20.0.0/16"},
    "edge": {"UiUrl": "https://airflow.example.com/af/"},
    "data": {"FileSystemId": "fs-01234567"},
}


def texts(value: object) -> Iterator[str]:
    """Every text below a value."""
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, str):
        yield value


@pytest.fixture
def jinja() -> Environment:
    made = Environment()
    made.filters["combine"] = lambda first, *others: {
        k: v for each in (first, *others) for k, v in each.items()
    }
    made.filters["urlsplit"] = lambda url, part: getattr(urlsplit(url), part)
    return made


def folder(jinja: Environment, name: str) -> dict[str, str]:
    """The parameters of a folder, without those of the database and the broker."""
    expression = (
        VARIABLES_READ["airkiln_airflow_parameters"][name].strip().removeprefix("{{").removesuffix("}}")
    )
    given = {
        "airkiln_outputs": OUTPUTS,
        "airkiln_all_slots": 16,
        "__airkiln_retention": {},
        "__airkiln_ui_url": OUTPUTS["edge"]["UiUrl"],
        "__airkiln_owner": {},
        "__airkiln_broker": {},
        "__airkiln_airflow_login": "",
        "__airkiln_worker_login": "",
    }
    found: Any = jinja.compile_expression(expression)(**given)
    return dict(found)


@pytest.mark.parametrize("text", list(texts(VARIABLES_READ)))
def test_every_expression_can_be_read(jinja: Environment, text: str) -> None:
    """A comment inside a folded expression is text to YAML and an error to Jinja."""
    jinja.parse(text)


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_links_in_messages_lead_to_where_people_open_airflow(jinja: Environment, name: str) -> None:
    assert folder(jinja, name)["AIRFLOW__API__BASE_URL"] == OUTPUTS["edge"]["UiUrl"]


@pytest.mark.parametrize(
    ("outputs", "url"),
    [
        (OUTPUTS, "https://airflow.example.com/af/"),
        (OUTPUTS | {"public": {"UiUrl": "https://public.example.com/"}}, "https://public.example.com/"),
    ],
)
def test_people_open_airflow_at_the_public_load_balancer_where_there_is_one(
    outputs: dict[str, Any], url: str
) -> None:
    jinja = Environment(undefined=ChainableUndefined)  # as Ansible's is
    assert jinja.from_string(VARIABLES_READ["__airkiln_ui_url"]).render(airkiln_outputs=outputs) == url


def test_a_web_server_knows_its_path_alone_so_that_a_forwarded_port_logs_in(jinja: Environment) -> None:
    assert folder(jinja, "webserver")["AIRFLOW__API__BASE_URL"] == "/af/"


def test_a_web_server_believes_the_network_of_its_load_balancers_and_no_other_role_needs_it(
    jinja: Environment,
) -> None:
    name = "AIRKILN_WEB_TRUSTED_PROXIES"
    value = folder(jinja, "webserver")[name]
    assert value == OUTPUTS["network"]["VpcCidr"]
    assert rules.check([rules.Parameter(name, value, name)], None, {}) == []
    assert not any(name in folder(jinja, other) for other in ("scheduler", "worker"))


@pytest.mark.parametrize(("days", "written"), [(90, {"AIRKILN_RETENTION_DAYS": "90"}), ("", {})])
def test_an_environment_that_keeps_everything_has_no_days_of_retention(
    jinja: Environment, days: object, written: dict[str, str]
) -> None:
    """Parameter Store takes no empty value."""
    expression = VARIABLES_READ["__airkiln_retention"].strip().removeprefix("{{").removesuffix("}}")
    assert jinja.compile_expression(expression)(airkiln_retention_days=days) == written


def test_the_days_of_retention_are_checked_before_anything_is_changed() -> None:
    preflight = (VARIABLES.parents[1] / "tasks/deploy/preflight.yml").read_text(encoding="utf-8")
    assert "{'scheduler': __airkiln_retention, 'database': __airkiln_administrators}" in preflight
    (problem,) = problems({}, {}, {"scheduler": {"AIRKILN_RETENTION_DAYS": "4000"}})
    assert problem.startswith("scheduler/AIRKILN_RETENTION_DAYS: ")


@pytest.mark.parametrize("given", [None, {}, {"username": "ada"}, {"email": "ada@example.com"}])
def test_an_administrator_without_an_address_is_found_before_anything_is_changed(
    given: dict[str, str] | None,
) -> None:
    jinja = Environment(undefined=ChainableUndefined)
    jinja.filters["combine"] = lambda first, second: first | second
    expression = VARIABLES_READ["__airkiln_administrators"].strip().removeprefix("{{").removesuffix("}}")
    known = {} if given is None else {"airkiln_administrator": given}
    written = jinja.compile_expression(expression)(**known)
    found = problems({"database": written}, {}, secrets=VARIABLES_READ["airkiln_secrets"])
    assert len(found) == (0 if "email" in (given or {}) else 1)
    assert all(each.startswith("AIRKILN_ADMIN_EMAIL: missing") for each in found)
