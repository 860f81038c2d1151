"""Plans of a small environment, for the tests of what a deployment decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from airkiln_deploy import plan as planning
from airkiln_deploy import template as templates

CLOUDFORMATION = Path(__file__).parents[3] / "cloudformation"
WIRING = yaml.safe_load((CLOUDFORMATION / "wiring.yml").read_text(encoding="utf-8"))["stacks"]
IMAGE = "ami-0123456789abcdef0"
RUNNING = "ami-0fedcba9876543210"
EDGE = {
    "InternalHostName": "airflow.example.com",
    "InternalCertificateArn": (
        "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    ),
}
PUBLIC = {
    "PublicHostName": "airflow.example.com",
    "PublicCertificateArn": EDGE["InternalCertificateArn"],
}
GIVEN_VPC = {
    "VpcId": "vpc-01234567",
    "VpcCidr": "10.20.0.0/16",
    "PrivateSubnetIds": ["subnet-01234567", "subnet-12345678"],
    "DatabaseSubnetIds": ["subnet-01234567", "subnet-12345678"],
    "ZoneCount": 2,
}


def plan(**changes: object) -> dict[str, Any]:
    """The plan of an environment with the fewest variables, and with these changes to them."""
    environment = {
        "name": "prod",
        "vpc": {},
        "parameters": {},
        "stacks": {"edge": EDGE},
        "pools": {"default": {}},
        "offload": False,
        "image_id": IMAGE,
        "zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c", "eu-west-1d"],
        "s3_prefix_list": "pl-6da54004",
        "present": {},
    }
    found: dict[str, Any] = planning.plan(
        WIRING, templates.templates(str(CLOUDFORMATION)), environment | changes
    )
    return found


def stack(plan: dict[str, Any], short: str) -> dict[str, Any]:
    """A stack of a plan by its name without the environment's."""
    (found,) = [each for each in plan["stacks"] if each["short"] == short]
    assert isinstance(found, dict)
    return found


def present(status: str, **parameters: str) -> dict[str, Any]:
    """What AWS holds of a stack."""
    return {"status": status, "parameters": parameters, "outputs": {}}
