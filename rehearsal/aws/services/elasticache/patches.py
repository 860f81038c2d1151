"""Corrections of moto's ElastiCache."""

from __future__ import annotations

from moto.core.responses import ActionResult, EmptyResult
from moto.elasticache.responses import ElastiCacheResponse

from rehearsal.aws.services.patching import Moto, Patch


def _delete_cache_subnet_group(_: Moto) -> Moto:
    def delete_cache_subnet_group(self: ElastiCacheResponse) -> ActionResult:
        """Answer DeleteCacheSubnetGroup."""
        self.elasticache_backend.cache_subnet_groups.pop(self._get_param("CacheSubnetGroupName"), None)
        return EmptyResult()

    return delete_cache_subnet_group


PATCHES = (
    Patch(
        ElastiCacheResponse,
        "delete_cache_subnet_group",
        _delete_cache_subnet_group,
        upstream="moto/elasticache/responses.py, ElastiCacheResponse",
        problem="moto creates cache subnet groups but does not implement DeleteCacheSubnetGroup.",
    ),
)
