"""Corrections of moto's ElastiCache."""

from __future__ import annotations

import re

from moto.core.responses import ActionResult, EmptyResult
from moto.elasticache.exceptions import InvalidParameterValueException
from moto.elasticache.responses import ElastiCacheResponse

from rehearsal.aws.services.patching import Moto, Patch

TOKEN = re.compile(r"[A-Za-z0-9!&#$^<>-]{16,128}")
"""docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth.html"""


def _check_token(original: Moto) -> Moto:
    def create_replication_group(self: ElastiCacheResponse) -> Moto:
        """Answer CreateReplicationGroup."""
        token = self._get_param("AuthToken")
        if token is not None and not TOKEN.fullmatch(token):
            raise InvalidParameterValueException("Invalid AuthToken provided.")
        return original(self)

    return create_replication_group


def _delete_cache_subnet_group(_: Moto) -> Moto:
    def delete_cache_subnet_group(self: ElastiCacheResponse) -> ActionResult:
        """Answer DeleteCacheSubnetGroup."""
        self.elasticache_backend.cache_subnet_groups.pop(self._get_param("CacheSubnetGroupName"), None)
        return EmptyResult()

    return delete_cache_subnet_group


PATCHES = (
    Patch(
        ElastiCacheResponse,
        "create_replication_group",
        _check_token,
        upstream="moto/elasticache/responses.py, ElastiCacheResponse",
        problem="moto takes every AuthToken. AWS takes 16 to 128 letters, digits and !&#$^<>- only.",
    ),
    Patch(
        ElastiCacheResponse,
        "delete_cache_subnet_group",
        _delete_cache_subnet_group,
        upstream="moto/elasticache/responses.py, ElastiCacheResponse",
        problem="moto creates cache subnet groups but does not implement DeleteCacheSubnetGroup.",
    ),
)
