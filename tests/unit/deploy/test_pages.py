"""What AWS answers in several pages is read to the last one: a deployment must not miss what exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from airkiln_deploy import environment
from airkiln_deploy.parameter_store import Store

PATH = "/airkiln/prod"


@pytest.fixture
def stubs(request: pytest.FixtureRequest) -> Iterator[Stubber]:
    """A client of the service that the test names, whose answers must all have been asked for."""
    client = botocore.session.get_session().create_client(
        request.param, region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def pages(stubs: Stubber, operation: str, key: str, *contents: list[dict[str, Any]], **asked: Any) -> None:  # noqa: ANN401 - boto3
    """Prepare an answer of so many pages."""
    for number, content in enumerate(contents):
        following = {"NextToken": f"page {number + 1}"} if number + 1 < len(contents) else {}
        token = {"NextToken": f"page {number}"} if number else {}
        stubs.add_response(operation, {key: content, **following}, {**asked, **token})


def stack(name: str, status: str = "CREATE_COMPLETE") -> dict[str, Any]:
    return {"StackName": name, "StackStatus": status, "CreationTime": 0}


@pytest.mark.parametrize("stubs", ["cloudformation"], indirect=True)
def test_stacks_are_found_on_every_page(stubs: Stubber) -> None:
    first = [stack("airkiln-prod-network"), stack("other")]
    deleted = [stack("airkiln-prod-edge", "DELETE_COMPLETE")]
    pages(stubs, "describe_stacks", "Stacks", first, deleted, [stack("airkiln-prod-data")])
    found = environment.stacks(stubs.client, "airkiln-prod-")
    assert list(found) == ["airkiln-prod-network", "airkiln-prod-data"]


def parameter(name: str, value: str, kind: str = "String") -> dict[str, Any]:
    return {"Name": f"{PATH}/{name}", "Value": value, "Type": kind}


@pytest.mark.parametrize("stubs", ["ssm"], indirect=True)
def test_mirrored_outputs_are_found_on_every_page(stubs: Stubber) -> None:
    contents: list[list[dict[str, Any]]] = [[parameter("infra/A", "1")], [], [parameter("infra/B", "2")]]
    pages(stubs, "get_parameters_by_path", "Parameters", *contents, Path=f"{PATH}/infra", Recursive=True)
    assert environment.mirrored(stubs.client, f"{PATH}/infra") == {"A": "1", "B": "2"}


@pytest.mark.parametrize("stubs", ["ssm"], indirect=True)
def test_parameters_and_what_is_known_of_them_are_read_from_every_page(stubs: Stubber) -> None:
    described = [
        {"Name": f"{PATH}/{name}", "Description": f"of {name}", "KeyId": "alias/airkiln"} for name in "AB"
    ]
    pages(
        stubs,
        "describe_parameters",
        "Parameters",
        described[:1],
        described[1:],
        ParameterFilters=[{"Key": "Path", "Option": "Recursive", "Values": [PATH]}],
        MaxResults=50,
    )
    pages(
        stubs,
        "get_parameters_by_path",
        "Parameters",
        [parameter("A", "1", "SecureString")],
        [parameter("B", "2", "SecureString")],
        Path=PATH,
        Recursive=True,
        WithDecryption=True,
    )
    found = Store(stubs.client, PATH, "").read()
    assert {name: (held.value, held.secure, held.description) for name, held in found.items()} == {
        "A": ("1", True, "of A"),
        "B": ("2", True, "of B"),
    }
