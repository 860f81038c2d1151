"""What is created before an environment's instances, on an AWS in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import botocore.session
import pytest
from moto import mock_aws

from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.deployment import parameters, seed


class Server:
    """A database server that records who its administrator became."""

    def __init__(self) -> None:
        self.administrators: list[tuple[str, str]] = []

    def create_administrator(self, name: str, password: str) -> None:
        self.administrators.append((name, password))


def client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' types at run time
    return botocore.session.get_session().create_client(service, region_name="us-east-1")


@pytest.fixture
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

    monkeypatch.setattr(parameters, "client", client)
    monkeypatch.setattr(seed, "client", client)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture
def server() -> Server:
    return Server()


def seeded(server: Server) -> seed.Login:
    return seed.seed(cast("Postgres", server))


@pytest.mark.usefixtures("_aws")
def test_a_second_time_everything_stays_as_it_is(server: Server) -> None:
    first = seeded(server)
    stored = parameters.stored()
    assert seeded(server) == first
    assert parameters.stored() == stored
    assert server.administrators[0] == server.administrators[1]


@pytest.mark.usefixtures("_aws")
def test_dags_of_another_folder_are_published_beside_the_examples(server: Server, tmp_path: Path) -> None:
    seeded(server)
    (tmp_path / "another.py").write_text("dag = 1\n")
    (tmp_path / "notes.txt").write_text("not a DAG\n")
    seed.publish_dags(tmp_path)
    listed = client("s3").list_objects_v2(Bucket=parameters.DAGS_BUCKET)["Contents"]
    assert {each["Key"] for each in listed} == {"another.py", "hello_airkiln.py"}


@pytest.mark.usefixtures("_aws")
def test_instances_can_be_launched_with_the_profile(server: Server) -> None:
    seeded(server)
    found = client("iam").get_instance_profile(InstanceProfileName=parameters.PROFILE)
    assert [role["RoleName"] for role in found["InstanceProfile"]["Roles"]] == [parameters.PROFILE]


@pytest.mark.usefixtures("_aws")
def test_a_parameter_is_stored_read_and_removed() -> None:
    assert parameters.parameter("scheduler/NAME") == ""
    parameters.put({"scheduler": {"NAME": "value"}})
    assert parameters.parameter("scheduler/NAME") == "value"
    parameters.remove("scheduler", ["NAME", "NEVER_STORED"])
    assert parameters.stored() == {}


@pytest.mark.usefixtures("_aws")
def test_the_database_is_reached_as_airflow_does_it(server: Server) -> None:
    seeded(server)
    address = parameters.database_address()
    assert address.startswith("postgresql://airflow:")
    assert "sslrootcert" not in address, "the file of authorities is in the image alone"
