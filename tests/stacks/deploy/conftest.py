"""One local AWS for all cases, and the life of one environment on it, as people run it.

Each fixture from `looked` on is one run and begins where the one before it ended; a test says what one of
them must show.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stacks.deploy.life import Step
from tests.stacks.deploy.local_aws import (
    ACCOUNT,
    REGION,
    ROOT,
    RUNS_WITHIN,
    LocalAws,
    Run,
    Signaller,
    command,
    playbook,
    process_environment,
    serving,
)
from tests.support.waiting import until


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


UNKNOWN_CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"


def taken(environment: Environment, playbook: str, *arguments: str) -> Step:
    before = environment.aws.traces(environment.name)
    run = environment.run(playbook, *arguments)
    return Step(run, before, environment.aws.traces(environment.name))


@pytest.fixture(scope="session")
def life(
    aws: LocalAws,
    signaller: Signaller,
    image: str,
    certificate: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Environment:
    return make_environment(aws, tmp_path_factory.mktemp("life"), "life", image, certificate)


@pytest.fixture(scope="session")
def looked(life: Environment) -> Step:
    """--check, where nothing is yet."""
    return taken(life, "deploy", "--check")


@pytest.fixture(scope="session")
def killed(life: Environment, looked: Step) -> Step:
    """A deployment whose every process is killed when its second stack is there."""
    aws = life.aws
    before = aws.traces(life.name)
    process = subprocess.Popen(
        command(life.inventory, "deploy", "-e", f"environment_name={life.name}"),
        cwd=ROOT,
        env=process_environment(aws),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def second_is_there() -> bool:
        assert process.poll() is None, "the deployment ended before it could be killed"
        return "firewall" in aws.stacks(life.name)

    until(second_is_there, "the deployment makes its second stack", RUNS_WITHIN)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return Step(Run(process.returncode, ""), before, aws.traces(life.name))


@pytest.fixture(scope="session")
def failed(life: Environment, killed: Step, certificate: str) -> Step:
    """A deployment with a certificate that there is not."""
    edge = {"InternalHostName": "airflow.example.com", "InternalCertificateArn": UNKNOWN_CERTIFICATE}
    life.write(airkiln_stack_parameters={"edge": edge})
    step = taken(life, "deploy")
    life.write(airkiln_stack_parameters={"edge": edge | {"InternalCertificateArn": certificate}})
    return step


@pytest.fixture(scope="session")
def not_migrated(life: Environment, failed: Step, signaller: Signaller) -> Step:
    """A deployment whose database step fails."""
    signaller.verdict["Step"] = "FAILURE"
    step = taken(life, "deploy")
    signaller.verdict["Step"] = "SUCCESS"
    return step


@pytest.fixture(scope="session")
def deployed(life: Environment, not_migrated: Step) -> Step:
    """The deployment that ends well, as talkative as it can be."""
    return taken(life, "deploy", "-vvv", "--diff")


@pytest.fixture(scope="session")
def repeated(life: Environment, deployed: Step) -> Step:
    """The same again."""
    return taken(life, "deploy")


CHANGES = {
    "airkiln_settings": {"common": {"AIRFLOW__CORE__PARALLELISM": "64"}},
    "airkiln_secret_settings": {"scheduler": {"AIRFLOW__SMTP__SMTP_PASSWORD": "a-word-of-its-own-kind"}},
    "airkiln_image_id": "ami-0fedcba9876543210",
}


@pytest.fixture(scope="session")
def thought_of(life: Environment, repeated: Step) -> Step:
    """--check with changed variables: a retention, a size, a setting, a secret setting, an image."""
    edge = life.variables["airkiln_stack_parameters"]["edge"]
    life.write(
        **CHANGES,
        airkiln_stack_parameters={
            "edge": edge,
            "buckets": {"TaskLogRetentionDays": 30},
            "scheduler": {"HostCount": 3},
        },
    )
    return taken(life, "deploy", "--check", "--diff")


@pytest.fixture(scope="session")
def changed(life: Environment, thought_of: Step) -> Step:
    """The same for real."""
    return taken(life, "deploy", "-vvv")


@pytest.fixture(scope="session")
def refused(life: Environment, changed: Step) -> Step:
    """destroy.yml with another name typed."""
    return taken(life, "destroy", "-e", "destroy=prod")


@pytest.fixture(scope="session")
def destroyed(life: Environment, refused: Step) -> Step:
    """destroy.yml as it is meant."""
    return taken(life, "destroy", "-e", f"destroy={life.name}")


@pytest.fixture(scope="session")
def deployed_again(life: Environment, destroyed: Step, image: str) -> Step:
    """A deployment on what the destruction kept, with the database step asked for."""
    life.write(airkiln_image_id=image)
    return taken(life, "deploy", "-e", "database_step=true")
