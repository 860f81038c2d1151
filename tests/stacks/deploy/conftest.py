"""One local AWS for all cases, and an environment of its own for each story."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stacks.deploy.local_aws import ACCOUNT, REGION, ROOT, LocalAws, Run, Signaller, playbook, serving


@dataclass
class Environment:
    """An environment's variables, and the playbooks on it."""

    aws: LocalAws
    name: str
    inventory: Path
    variables: dict[str, Any]

    def write(self, **changes: Any) -> None:  # noqa: ANN401 - YAML
        """Have these variables from now on."""
        self.variables |= changes
        folder = self.inventory / "group_vars"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.yml").write_text(yaml.safe_dump(self.variables))

    def run(self, what: str, *arguments: str, **environment: str) -> Run:
        """A playbook with the environment's name."""
        return playbook(
            self.aws,
            self.inventory,
            what,
            "-e",
            f"environment_name={self.name}",
            *arguments,
            environment=environment,
        )


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with serving(tmp_path_factory.mktemp("aws") / "log") as local:
        yield local


@pytest.fixture(scope="session")
def signaller(aws: LocalAws) -> Iterator[Signaller]:
    thread = Signaller(aws)
    thread.start()
    yield thread
    thread.end()


@pytest.fixture(scope="session")
def image(aws: LocalAws) -> str:
    made = aws.client("ec2").register_image(Name="airkiln", Architecture="x86_64", RootDeviceName="/dev/xvda")
    found: str = made["ImageId"]
    return found


@pytest.fixture(scope="session")
def certificate(aws: LocalAws) -> str:
    made = aws.client("acm").request_certificate(DomainName="airflow.example.com")
    found: str = made["CertificateArn"]
    return found


def make_environment(aws: LocalAws, folder: Path, name: str, image: str, certificate: str) -> Environment:
    """An environment with the fewest variables that deploy."""
    inventory = folder / "inventory"
    inventory.mkdir()
    (inventory / "local.yml").write_text((ROOT / "inventory/local.yml").read_text())
    made = Environment(
        aws,
        name,
        inventory,
        {
            "airkiln_account_id": ACCOUNT,
            "airkiln_region": REGION,
            "airkiln_image_id": image,
            "airkiln_administrator": {"email": "admin@example.com"},
            "airkiln_stack_parameters": {
                "edge": {
                    "InternalHostName": "airflow.example.com",
                    "InternalCertificateArn": certificate,
                },
            },
        },
    )
    made.write()
    return made
