"""Installs all emulated services in this process."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from moto.elbv2.models import elbv2_backends

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.aws.services.autoscaling import install as autoscaling
from rehearsal.aws.services.cloudformation import install as cloudformation
from rehearsal.aws.services.ec2 import install as ec2
from rehearsal.aws.services.ec2.backend import EmulatedEC2, backend
from rehearsal.aws.services.efs import install as efs
from rehearsal.aws.services.efs.backend import attachments
from rehearsal.aws.services.patches import PATCHES
from rehearsal.aws.services.rds import install as rds
from rehearsal.aws.services.rds.backend import endpoints
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.aws.timers import Schedule
from rehearsal.region import Region


def install(region: Region, schedule: Schedule, endpoint: str) -> None:
    """Correct moto, replace its EC2, EFS, Auto Scaling, RDS and CloudFormation, and publish the known images.

    :param endpoint: URL at which CloudFormation calls the other services.
    """
    PATCHES.install()
    ec2.install(region)
    efs.install(region)
    EmulatedEC2.shown = staticmethod(partial(attachments, region))
    ec2.publish_images()
    autoscaling.install(schedule)
    rds.install(Postgres(region), changed=lambda: backend().enforce())
    EmulatedEC2.firewall.members.append(endpoints)
    EmulatedEC2.firewall.relays.append(_balancers)
    cloudformation.install(endpoint)


def _balancers() -> Iterable[str]:
    """The security groups of load balancers: no machine runs one."""
    balancers = list(elbv2_backends[ACCOUNT][aws_region()].load_balancers.values())
    return [group for each in balancers for group in each.security_groups or []]
