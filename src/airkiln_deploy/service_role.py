"""Service-linked roles: the IAM roles with which AWS's own services act in an account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airkiln_deploy.errors import DeployError


def ensure(iam: Any, service: str, *, check_mode: bool) -> bool:  # noqa: ANN401 - boto3
    """Create the role of `service`, such as autoscaling.amazonaws.com, where the account has none.

    Returns whether it was missing. Raises DeployError when IAM refuses or does not answer.
    """
    try:
        # Found by its path: its name is the service's to choose. What follows an underscore is a suffix of
        # somebody's own, and the service uses such a role only where it is named.
        found = iam.list_roles(PathPrefix=f"/aws-service-role/{service}/")["Roles"]
        if any("_" not in role["RoleName"] for role in found):
            return False
        if not check_mode:
            iam.create_service_linked_role(AWSServiceName=service)
    except ClientError as error:
        if "has been taken" not in str(error):  # created by somebody else since it was looked for
            raise _failure(service, error) from error
    except BotoCoreError as error:
        raise _failure(service, error) from error
    return True


def ensure_each(iam: Any, services: Iterable[str], *, check_mode: bool) -> list[str]:  # noqa: ANN401 - boto3
    """Do the same for several services. Returns those whose role was missing; raises DeployError as above."""
    return [service for service in services if ensure(iam, service, check_mode=check_mode)]


def _failure(service: str, error: Exception) -> DeployError:
    return DeployError(
        f"The service-linked role of {service} cannot be created: {error}. Allow iam:ListRoles and "
        f"iam:CreateServiceLinkedRole, or have it created: aws iam create-service-linked-role "
        f"--aws-service-name {service}"
    )
