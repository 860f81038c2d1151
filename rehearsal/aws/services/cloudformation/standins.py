"""What moto 5.2.5 lacks or gets wrong of the services' own APIs, and these templates need."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models.flow_logs import FlowLogsBackend
from moto.elasticache.responses import ElastiCacheResponse
from moto.elbv2.models import ELBv2Backend
from moto.s3.models import FakeBucket

Moto = Any
"""moto's classes, of which single methods are replaced."""
_put_scaling_policy = AutoScalingResponse.put_scaling_policy
_create_flow_logs: Moto = FlowLogsBackend.create_flow_logs
_path_condition = ELBv2Backend._validate_path_pattern_condition


def delete_cache_subnet_group(self: ElastiCacheResponse) -> ActionResult:
    """Left out by moto."""
    self.elasticache_backend.cache_subnet_groups.pop(self._get_param("CacheSubnetGroupName"), None)
    return EmptyResult()


def put_scaling_policy(self: AutoScalingResponse) -> ActionResult:
    """moto answers with a PolicyArn, which boto3 does not know."""
    answer: Moto = _put_scaling_policy(self).result
    return ActionResult({"PolicyARN": answer["PolicyArn"]})


def path_condition(self: ELBv2Backend, condition: dict[str, Any]) -> None:
    """moto does not know regular expressions for paths."""
    if "RegexValues" not in condition.get("PathPatternConfig", {}):
        _path_condition(self, condition)


def create_flow_logs(self: FlowLogsBackend, **options: Moto) -> Moto:
    """moto takes a folder in a bucket for a part of the bucket's name."""
    place: str = options.pop("log_destination") or ""
    arn, slash, folder = place.partition("/")
    made, errors = _create_flow_logs(self, log_destination=arn or None, **options)
    for log in made if slash and folder else []:
        log.log_destination = place
    return made, errors


def takes_access_logs(target_bucket: FakeBucket, target_prefix: str | None) -> bool:
    """Whether a bucket's policy lets S3 write access logs; moto's own fails over the principal ``*``."""
    place = f"arn:aws:s3:::{target_bucket.name}/{target_prefix or ''}"
    policy = json.loads(target_bucket.policy) if target_bucket.policy else {"Statement": []}
    return any(
        statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
        and statement["Effect"] == "Allow"
        and fnmatchcase(place, statement["Resource"])
        for statement in policy["Statement"]
    )


def install() -> None:
    """Put them in their places."""
    elasticache: Moto = ElastiCacheResponse
    elasticache.delete_cache_subnet_group = delete_cache_subnet_group
    autoscaling: Moto = AutoScalingResponse
    autoscaling.put_scaling_policy = put_scaling_policy
    load_balancing: Moto = ELBv2Backend
    load_balancing._validate_path_pattern_condition = path_condition
    flow_logs: Moto = FlowLogsBackend
    flow_logs.create_flow_logs = create_flow_logs
    bucket: Moto = FakeBucket
    bucket._log_permissions_enabled_policy = staticmethod(takes_access_logs)
