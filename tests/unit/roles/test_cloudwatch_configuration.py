"""The program that fills the environment into the CloudWatch agent's configuration."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from airkiln.aws.metrics import namespace
from rehearsal.aws.stub_agents import cloudwatch_agent
from tests.unit.airkiln.host.test_metadata import FakeImds
from tests.unit.roles.rendering import render

PROGRAM = (
    Path(__file__).parents[3] / "roles/cloudwatch/templates/usr/local/lib/airkiln/cloudwatch-configuration.j2"
)
ROLE = PROGRAM.parents[5]
DOCUMENT = {
    "logs": {
        "logs_collected": {"journald": {"collect_list": [{"log_group_name": "/airkiln/ENVIRONMENT/journal"}]}}
    },
    "metrics": {"namespace": "Airkiln/ENVIRONMENT"},
}
NOBODY = "http://127.0.0.1:9"


class Host:
    """An instance in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "cloudwatch-agent.json"
        self.source.write_text(json.dumps(DOCUMENT))
        self.target = root / "amazon-cloudwatch-agent.json"
        self.target.write_text("an older one")

    def starts_the_agent(self, metadata: str = NOBODY) -> dict[str, Any]:
        environment = jinja2.Environment(autoescape=False)
        environment.filters["comment"] = lambda text: f"# {text}"
        program = environment.from_string(PROGRAM.read_text()).render(
            ansible_managed="managed", __cloudwatch_source=self.source, __cloudwatch_configuration=self.root
        )
        program = program.replace("/run/airkiln/", f"{self.root}/").replace(
            "http://169.254.169.254", metadata
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
        found: dict[str, Any] = json.loads(self.target.read_text())
        return found


def group(document: dict[str, Any]) -> str:
    found: str = document["logs"]["logs_collected"]["journald"]["collect_list"][0]["log_group_name"]
    return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def imds() -> Iterator[FakeImds]:
    server = FakeImds()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_the_boot_path_wrote_names_the_group(host: Host) -> None:
    (host.root / "instance.json").write_text('{"environment": "prod"}')
    document = host.starts_the_agent()
    assert group(document) == "/airkiln/prod/journal"
    assert document["metrics"]["namespace"] == namespace("prod")


def test_before_the_boot_path_has_written_the_tag_names_the_group(host: Host, imds: FakeImds) -> None:
    imds.data["tags/instance/airkiln:environment"] = "stage"
    document = host.starts_the_agent(f"http://127.0.0.1:{imds.server_port}")
    assert group(document) == "/airkiln/stage/journal"


def test_an_instance_of_no_environment_sends_metrics_and_no_journal(host: Host) -> None:
    assert host.starts_the_agent() == {"metrics": {"namespace": "Airkiln"}}


def test_a_group_of_ones_own_is_left_as_it_is(host: Host) -> None:
    host.source.write_text(host.source.read_text().replace("/airkiln/ENVIRONMENT/journal", "/mine"))
    assert group(host.starts_the_agent()) == "/mine"


def trusted(value: Any) -> Any:  # noqa: ANN401
    """Variables as Ansible reads them from a role's files: their strings are templates."""
    if isinstance(value, dict):
        return {name: trusted(each) for name, each in value.items()}
    if isinstance(value, list):
        return [trusted(each) for each in value]
    return trust_as_template(value) if isinstance(value, str) else value


def baked(**given: object) -> dict[str, Any]:
    """The agent's configuration with these variables of the role, the others at their defaults."""
    files = (ROLE / "defaults/main.yml", ROLE / "vars/main.yml")
    variables = {name: value for path in files for name, value in yaml.safe_load(path.read_text()).items()}
    templar = Templar(DataLoader(), variables=trusted(variables) | given)
    text = templar.template(trust_as_template("{{ __cloudwatch_document | to_json }}"))
    document: dict[str, Any] = json.loads(text)
    return document


def choices(option: str) -> list[object]:
    specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
    found: list[object] = specs["main"]["options"][option]["choices"]
    return found


@pytest.mark.parametrize("option", ["cloudwatch_log_retention_days", "cloudwatch_log_priority"])
def test_the_agent_starts_with_every_value_that_the_role_takes(option: str) -> None:
    for value in choices(option):
        assert cloudwatch_agent.refusals(baked(**{option: value})) == [], value


def test_the_agent_starts_what_sends_the_journal_from_before_it() -> None:
    agent = render("cloudwatch", "amazon-cloudwatch-agent.service.d/20-environment.conf").splitlines()
    assert "Wants=airkiln-early-journal.service" in agent
    unit = render("cloudwatch", "airkiln-early-journal.service").splitlines()
    assert "ExecStart=/opt/airkiln/bin/airkiln early-journal" in unit
    assert any("amazon-cloudwatch-agent.service" in line for line in unit if line.startswith("After="))


def test_where_the_stack_decides_the_retention_the_agent_is_told_nothing() -> None:
    (entry,) = baked()["logs"]["logs_collected"]["journald"]["collect_list"]
    assert "retention_in_days" not in entry
    (entry,) = baked(cloudwatch_log_retention_days=30)["logs"]["logs_collected"]["journald"]["collect_list"]
    assert entry["retention_in_days"] == 30
