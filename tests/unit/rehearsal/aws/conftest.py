"""Fixtures of the emulated AWS's unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from tests.unit.rehearsal.aws.emulated_aws import Clients, EmulatedAws, drop_backends, emulate


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """Clients of moto in this process. Making them takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patched.delenv("AWS_ENDPOINT_URL", raising=False)
        with mock_aws():
            yield Clients()
    drop_backends()


@pytest.fixture
def aws(clients: Clients, tmp_path: Path) -> Iterator[EmulatedAws]:
    """An emulated AWS with EC2 and Auto Scaling, without machines, whose clock stands still."""
    with pytest.MonkeyPatch.context() as patched, emulate(clients, patched, tmp_path) as made:
        yield made
