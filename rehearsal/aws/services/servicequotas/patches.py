"""Corrections of moto's Service Quotas."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_ip_addresses import ElasticAddressBackend
from moto.servicequotas.models import ServiceQuotasBackend

from rehearsal.aws.services.patching import Moto, Patch

ADDRESSES = "L-0263D0A3"
EC2 = {
    ADDRESSES: ("EC2-VPC Elastic IPs", 15.0),
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 256.0),
}
"""Quotas of EC2 that are served, of an account in which both were raised from AWS's defaults (5 and 5)."""


def _allocate_address(original: Moto) -> Moto:
    def allocate(self: Moto, *given: Any, **asked: Any) -> Moto:  # noqa: ANN401 - a request's data
        """Refuse an address beyond the quota."""
        if len(self.addresses) >= EC2[ADDRESSES][1]:
            raise EC2ClientError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
        return original(self, *given, **asked)

    return allocate


def _get_service_quota(original: Moto) -> Moto:
    def get(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
        """Return the applied value of a quota of EC2 too."""
        if service_code != "ec2" or quota_code not in EC2:
            found: dict[str, Any] = original(self, service_code, quota_code)
            return found
        name, value = EC2[quota_code]
        return {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": f"arn:aws:servicequotas:{self.region_name}:{self.account_id}:ec2/{quota_code}",
            "QuotaCode": quota_code,
            "QuotaName": name,
            "Value": value,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }

    return get


PATCHES = (
    Patch(
        ElasticAddressBackend,
        "allocate_address",
        _allocate_address,
        upstream="moto/ec2/models/elastic_ip_addresses.py, ElasticAddressBackend.allocate_address",
        problem="moto has addresses without end; AWS refuses those beyond the quota.",
    ),
    Patch(
        ServiceQuotasBackend,
        "get_service_quota",
        _get_service_quota,
        upstream="moto/servicequotas/models.py, ServiceQuotasBackend.get_service_quota",
        problem="moto knows the quotas of VPC only; AWS has those of EC2 too.",
    ),
)
