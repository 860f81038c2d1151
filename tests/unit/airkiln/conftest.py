"""What unit tests share: an AWS client's surroundings without a real AWS, and a machine in a folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import botocore.loaders
import pytest

from airkiln.host.files import Ownership
from airkiln.host.layout import Layout
from airkiln.parameters import load, ssm
from tests.unit.airkiln.parameters.fake_ssm import FakeSsm

_create_loader = cache(botocore.loaders.create_loader)


@pytest.fixture(autouse=True)
def no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach an account, or a metadata address of the machine it runs on."""
    # Reading the service models anew for each client is most of a test's time.
    monkeypatch.setattr("botocore.session.create_loader", _create_loader)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "JOURNAL_STREAM", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def handlers_of_signals() -> Iterator[None]:
    """A daemon's handlers end with its test."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSsm]:
    """Parameter Store as airkiln's own client finds it."""
    with FakeSsm() as fake:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", fake.url)
        yield fake


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every retry, without its waiting."""
    monkeypatch.setattr(ssm, "Patience", partial(ssm.Patience, first_wait=0.001, longest_wait=0.001))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """An instance's folders, on which whoever runs the tests owns every file."""
    monkeypatch.setattr(load, "service_ownership", lambda _: Ownership(0o640))
    layout = Layout(tmp_path)
    for path in (layout.static_env, layout.run_env):
        path.parent.mkdir(parents=True)
    return layout
