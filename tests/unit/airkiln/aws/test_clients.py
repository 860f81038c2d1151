"""botocore's clients: their models, their time-outs, and what an error says."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.loaders import Loader

from airkiln.aws.clients import (
    MODELS,
    CallTimeouts,
    Clients,
    create_client,
    describe_error,
    error_code,
    errors,
    make_client,
    open_session,
)
from airkiln.errors import UnavailableError
from tools.service_models import OPERATIONS, without_documentation

DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "DoIt")


@pytest.mark.parametrize("service", OPERATIONS)
def test_our_part_of_a_service_is_botocores_own(service: str) -> None:
    """Each member of each shape of ours is one of botocore's, described alike."""
    full = without_documentation(Loader().load_service_model(service, "service-2"))
    (path,) = MODELS.glob(f"{service}/*/service-2.json")
    part = json.loads(path.read_text())
    assert part["metadata"] == full["metadata"]
    assert set(part["operations"]) == set(OPERATIONS[service])
    for name, operation in part["operations"].items():
        assert operation == full["operations"][name]
    for name, shape in part["shapes"].items():
        whole = full["shapes"][name]
        assert {key: value for key, value in shape.items() if key != "members"} == {
            key: value for key, value in whole.items() if key != "members"
        }
        for member, form in shape.get("members", {}).items():
            assert form == whole["members"][member], f"{name}.{member}"


@pytest.mark.parametrize("service", OPERATIONS)
def test_a_client_has_our_operations_and_no_others(service: str) -> None:
    model = make_client(service, "eu-west-1").meta.service_model
    assert set(model.operation_names) == set(OPERATIONS[service])


def test_a_call_may_take_as_long_as_it_is_given() -> None:
    config = create_client(open_session(), "ssm", "eu-west-1", CallTimeouts(1, 2, attempts=3)).meta.config
    assert (config.connect_timeout, config.read_timeout) == (1, 2)
    assert config.retries["total_max_attempts"] == 3


def test_a_client_is_made_once() -> None:
    made: list[tuple[str, str | None]] = []

    def make(service: str, region: str | None) -> Any:  # noqa: ANN401 - botocore's
        made.append((service, region))
        return object()

    clients = Clients("eu-west-1", make)
    assert clients.get("ec2") is clients.get("ec2")
    clients.get("ssm")
    assert made == [("ec2", "eu-west-1"), ("ssm", "eu-west-1")]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DENIED, "AccessDenied", "AccessDenied: not you"),
        (EndpointConnectionError(endpoint_url="x"), "EndpointConnectionError", "EndpointConnectionError"),
        (UnavailableError("no\nanswer"), "UnavailableError", "no answer"),
        (ValueError("secret"), "ValueError", "ValueError"),
    ],
)
def test_what_an_error_says(error: Exception, code: str, text: str) -> None:
    assert (error_code(error), describe_error(error)) == (code, text)


@pytest.mark.parametrize("error", [DENIED, EndpointConnectionError(endpoint_url="x")])
def test_the_errors_of_a_call_are_caught(error: Exception) -> None:
    assert isinstance(error, errors())


def test_botocore_is_imported_with_the_first_client_only() -> None:
    program = (
        "import sys; from airkiln.aws import clients; c = clients.Clients(); print('botocore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
