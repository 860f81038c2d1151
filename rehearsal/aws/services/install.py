"""Installs all emulated services in this process."""

from __future__ import annotations

from rehearsal.aws.services.autoscaling import install as autoscaling
from rehearsal.aws.services.cloudformation import install as cloudformation
from rehearsal.aws.services.ec2 import install as ec2
from rehearsal.aws.services.elbv2 import backend as balancers
from rehearsal.aws.services.elbv2 import install as elbv2
from rehearsal.aws.services.elbv2.haproxy import HAProxy
from rehearsal.aws.services.patches import PATCHES
from rehearsal.aws.services.rds import install as rds
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.aws.timers import Schedule
from rehearsal.region import Region


def install(region: Region, schedule: Schedule, endpoint: str) -> None:
    """Correct moto, replace the services that have machines, and CloudFormation; publish the known images.

    :param endpoint: URL at which CloudFormation calls the other services.
    """
    PATCHES.install()
    ec2.install(region)
    ec2.publish_images()
    autoscaling.install(schedule, lambda arn: balancers.backend().states(arn))
    elbv2.install(HAProxy(region), schedule)
    rds.install(Postgres(region))
    cloudformation.install(endpoint)
