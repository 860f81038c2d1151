"""Service-linked roles are created once and never twice."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from airkiln_deploy import service_role
from airkiln_deploy.errors import DeployError

SERVICE = "autoscaling.amazonaws.com"


class Iam:
    """An account with or without the role; `error` is what creating it raises."""

    def __init__(
        self, there: bool = False, error: Exception | None = None, name: str = "AWSServiceRoleForAutoScaling"
    ) -> None:
        self.there = there
        self.name = name
        self.error = error
        self.created: list[str] = []

    def list_roles(self, PathPrefix: str) -> dict[str, list[object]]:  # noqa: N803 - boto's
        assert PathPrefix == f"/aws-service-role/{SERVICE}/"
        return {"Roles": [{"RoleName": self.name}] if self.there else []}

    def create_service_linked_role(self, AWSServiceName: str) -> None:  # noqa: N803 - boto's
        if self.error:
            raise self.error
        self.created.append(AWSServiceName)


def test_a_missing_role_is_created() -> None:
    iam = Iam()
    assert service_role.ensure(iam, SERVICE, check_mode=False)
    assert iam.created == [SERVICE]


def test_a_role_with_a_custom_suffix_is_another_one() -> None:
    iam = Iam(there=True, name="AWSServiceRoleForAutoScaling_mine")
    assert service_role.ensure(iam, SERVICE, check_mode=False)
    assert iam.created == [SERVICE]


def test_of_several_roles_the_missing_ones_are_named() -> None:
    class Account(Iam):
        def list_roles(self, PathPrefix: str) -> dict[str, list[object]]:  # noqa: N803 - boto's
            return {"Roles": [{"RoleName": "AWSServiceRoleForRDS"}] if "rds" in PathPrefix else []}

    iam = Account()
    services = ["rds.amazonaws.com", SERVICE]
    assert service_role.ensure_each(iam, services, check_mode=False) == [SERVICE]
    assert iam.created == [SERVICE]


@pytest.mark.parametrize(("there", "check_mode"), [(True, False), (True, True), (False, True)])
def test_nothing_is_created_where_it_exists_or_in_check_mode(there: bool, check_mode: bool) -> None:
    iam = Iam(there)
    assert service_role.ensure(iam, SERVICE, check_mode=check_mode) is not there
    assert iam.created == []


def test_a_role_that_somebody_else_created_meanwhile_is_there() -> None:
    taken = ClientError(
        {"Error": {"Code": "InvalidInput", "Message": "Service role name X has been taken in this account"}},
        "CreateServiceLinkedRole",
    )
    assert service_role.ensure(Iam(error=taken), SERVICE, check_mode=False)


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "CreateServiceLinkedRole"),
        EndpointConnectionError(endpoint_url="https://iam.invalid"),
    ],
)
def test_a_failure_says_how_to_have_the_role_created(error: Exception) -> None:
    with pytest.raises(DeployError, match=f"aws iam create-service-linked-role --aws-service-name {SERVICE}"):
        service_role.ensure(Iam(error=error), SERVICE, check_mode=False)
