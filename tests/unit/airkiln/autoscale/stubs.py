"""botocore's own clients with prepared answers. A request that the service's description forbids fails."""

from __future__ import annotations

from typing import Any

from botocore.stub import Stubber

from airkiln.autoscale.amazon import SERVICES, Amazon
from airkiln.aws.clients import make_client

GROUP = "airkiln-prod-worker-default"


class Stubs:
    """Clients as the product makes them, with an answer for each call."""

    def __init__(self) -> None:
        self.of = {service: Stubber(make_client(service, "eu-west-1")) for service in SERVICES}
        for stub in self.of.values():
            stub.activate()
        self.amazon = Amazon("eu-west-1", self.make)

    def make(self, service: str, region: str | None) -> Any:  # noqa: ANN401 - botocore's clients
        assert region == "eu-west-1"
        return self.of[service].client

    def answer(self, service: str, operation: str, response: Any, asked: Any) -> None:  # noqa: ANN401
        self.of[service].add_response(operation, response, asked)


def described(name: str, *instances: dict[str, Any]) -> dict[str, Any]:
    return {
        "AutoScalingGroupName": name,
        "MinSize": 0,
        "MaxSize": 9,
        "DesiredCapacity": 2,
        "DefaultCooldown": 300,
        "AvailabilityZones": ["a"],
        "HealthCheckType": "EC2",
        "CreatedTime": 0,
        "Instances": list(instances),
    }
