"""Installs all emulated services in this process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from rehearsal.aws.services.autoscaling import install as autoscaling
from rehearsal.aws.services.cloudformation import install as cloudformation
from rehearsal.aws.services.ec2 import install as ec2
from rehearsal.aws.services.ec2.backend import EmulatedEC2, backend
from rehearsal.aws.services.efs import install as efs
from rehearsal.aws.services.efs.backend import attachments
from rehearsal.aws.services.elbv2 import backend as load_balancers
from rehearsal.aws.services.elbv2 import install as elbv2
from rehearsal.aws.services.elbv2.haproxy import HAProxy
from rehearsal.aws.services.patches import PATCHES
from rehearsal.aws.services.rds import backend as databases
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
    efs.install(region)
    EmulatedEC2.shown = staticmethod(partial(attachments, region))
    ec2.publish_images()
    elbv2.install(HAProxy(region), schedule, moved=_enforce)
    autoscaling.install(schedule, target_health=_target_health)
    rds.install(Postgres(region), region.run / "snapshots", changed=_enforce)
    for service in (load_balancers, databases):
        EmulatedEC2.firewall.members.append(service.endpoints)
    cloudformation.install(endpoint)


def _enforce() -> None:
    """Put the security groups into force for servers that came, went, or have other groups."""
    backend().enforce()


def _target_health(arn: str) -> Mapping[str, str]:
    """The states of a target group's targets."""
    return load_balancers.backend().states(arn)
