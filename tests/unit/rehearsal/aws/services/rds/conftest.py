"""The emulated RDS of one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from moto import mock_aws
from moto.rds.models import rds_backends

from rehearsal.aws.services.rds import install as rds
from rehearsal.aws.services.rds.backend import EmulatedRDS, endpoints
from tests.unit.rehearsal.aws.services.rds.recorded import Rds, RecordedServer


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Rds]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    server = RecordedServer()
    with mock_aws():
        listed: list[list[tuple[str, list[str]]]] = []
        rds.install(server, tmp_path / "snapshots", changed=lambda: listed.append(endpoints()))
        rds_backends.clear()
        client = botocore.session.get_session().create_client("rds", region_name="us-east-1")
        made = Rds(client, server, listed=listed)
        monkeypatch.setattr(EmulatedRDS, "submit", staticmethod(made.jobs.append))
        yield made
        rds.uninstall()
        rds_backends.clear()
