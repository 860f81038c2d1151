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

from tests.unit.airkiln.host.test_metadata import FakeImds

PROGRAM = (
    Path(__file__).parents[3] / "roles/cloudwatch/templates/usr/local/lib/airkiln/cloudwatch-configuration.j2"
)
DOCUMENT = {
    "logs": {
        "logs_collected": {"journald": {"collect_list": [{"log_group_name": "/airkiln/ENVIRONMENT/journal"}]}}
    },
    "metrics": {"namespace": "Airkiln"},
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
    assert group(host.starts_the_agent()) == "/airkiln/prod/journal"


def test_before_the_boot_path_has_written_the_tag_names_the_group(host: Host, imds: FakeImds) -> None:
    imds.data["tags/instance/airkiln:environment"] = "stage"
    document = host.starts_the_agent(f"http://127.0.0.1:{imds.server_port}")
    assert group(document) == "/airkiln/stage/journal"


def test_an_instance_of_no_environment_sends_metrics_and_no_journal(host: Host) -> None:
    assert host.starts_the_agent() == {"metrics": {"namespace": "Airkiln"}}


def test_a_group_of_ones_own_is_left_as_it_is(host: Host) -> None:
    host.source.write_text(host.source.read_text().replace("/airkiln/ENVIRONMENT/journal", "/mine"))
    assert group(host.starts_the_agent()) == "/mine"
