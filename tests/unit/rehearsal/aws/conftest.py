"""What the rehearsal's unit tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from tests.unit.rehearsal.aws.emulated_aws import Clients, Played, forget, play


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """Clients of moto in this process: they cost more to make than most tests take."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patched.delenv("AWS_ENDPOINT_URL", raising=False)
        with mock_aws():
            yield Clients()
    forget()


@pytest.fixture
def aws(clients: Clients, tmp_path: Path) -> Iterator[Played]:
    """A played AWS with EC2 and Auto Scaling, without machines, at a clock that stands still."""
    with pytest.MonkeyPatch.context() as patched:
        yield play(clients, patched, tmp_path)
        forget()
