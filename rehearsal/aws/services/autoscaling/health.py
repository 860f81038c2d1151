"""Whether an instance in service is healthy: one decision on what EC2 and the load balancers say.

Sources: the EC2 Auto Scaling user guide, "Health checks for instances in an Auto Scaling group"
(https://docs.aws.amazon.com/autoscaling/ec2/userguide/health-checks-overview.html) and "Set the health check
grace period" (https://docs.aws.amazon.com/autoscaling/ec2/userguide/health-check-grace-period.html).

Left out: EC2's status checks of a running instance, EBS and VPC Lattice health checks (accepted, always
good), the few minutes that AWS leaves an impaired instance to recover.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPES = ("EC2", "EBS", "ELB", "VPC_LATTICE")
"""Health checks that HealthCheckType may name, separated by commas (CreateAutoScalingGroup)."""
ENDED = ("stopping", "stopped", "shutting-down", "terminated")
"""EC2 states in which an instance is unhealthy, whatever the grace period."""


@dataclass(frozen=True)
class Checks:
    """What a group checks."""

    types: str
    """HealthCheckType. EC2 is always checked."""
    grace: float
    """HealthCheckGracePeriod, in seconds after the instance came into service."""


def unhealthy_because(checks: Checks, ec2: str, targets: list[str], in_service: float) -> str | None:
    """Return why an instance is unhealthy, or None.

    :param ec2: its state in EC2.
    :param targets: its state in each target group of the group, as DescribeTargetHealth says it. ``initial``,
        ``unused``, ``draining`` and ``unavailable`` are not bad health.
    :param in_service: seconds since it came into service.
    """
    if ec2 in ENDED:
        return f"EC2 says {ec2}"
    if "ELB" in checks.types.split(",") and "unhealthy" in targets and in_service >= checks.grace:
        return "a load balancer says unhealthy"
    return None


def is_valid(types: str) -> bool:
    """Return whether a HealthCheckType names only checks that exist, each once."""
    named = types.split(",")
    return len(set(named)) == len(named) and set(named) <= set(TYPES)
