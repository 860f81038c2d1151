"""Services can be installed twice, and moto comes back when they are uninstalled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws
from moto.autoscaling import models as autoscaling_models
from moto.autoscaling import urls as autoscaling_urls
from moto.autoscaling.models import autoscaling_backends
from moto.cloudformation import urls as cloudformation_urls
from moto.ec2.models import amis, ec2_backends, instances
from moto.efs.models import efs_backends
from moto.elbv2.models import elbv2_backends
from moto.rds.models import rds_backends

from rehearsal.aws.account import DEBIAN_OWNER
from rehearsal.aws.services.autoscaling import install as autoscaling
from rehearsal.aws.services.autoscaling.backend import EmulatedAutoScaling
from rehearsal.aws.services.cloudformation import install as cloudformation
from rehearsal.aws.services.ec2 import install as ec2
from rehearsal.aws.services.ec2.backend import backend
from rehearsal.aws.services.ec2.images import Catalogue, Image
from rehearsal.aws.services.efs import install as efs
from rehearsal.aws.services.elbv2 import install as elbv2
from rehearsal.aws.services.elbv2.backend import EmulatedELB
from rehearsal.aws.services.elbv2.haproxy import HAProxy
from rehearsal.aws.services.install import install
from rehearsal.aws.services.patches import PATCHES
from rehearsal.aws.services.rds import install as rds
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.aws.timers import Schedule
from rehearsal.linux.network import Network
from rehearsal.region import Region
from tests.unit.rehearsal.aws.emulated_aws import drop_backends


def replaced() -> list[Any]:
    """Return everything of moto that the services replace."""
    return [
        vars(amis)["Ami"],
        vars(instances)["Instance"],
        ec2_backends.backend,
        vars(autoscaling_models)["FakeAutoScalingGroup"],
        vars(autoscaling_models)["InstanceState"],
        autoscaling_urls.url_paths["{0}/$"],
        autoscaling_backends.backend,
        cloudformation_urls.url_paths["{0}/$"],
        elbv2_backends.backend,
        rds_backends.backend,
        efs_backends.backend,
    ]


def test_what_services_replace_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Region, "home", property(lambda _: tmp_path))
    region = Region("unit")
    region.prepare()
    before = replaced()
    try:
        for _ in range(2):
            ec2.install(region, hypervisor=object())
            efs.install(region)
            autoscaling.install(Schedule())
            elbv2.install(HAProxy(region), Schedule())
            rds.install(Postgres(region), region.run / "snapshots")
            cloudformation.install("http://127.0.0.1:1")
        assert all(now != then for now, then in zip(replaced(), before, strict=True))
    finally:
        for service in (cloudformation, rds, elbv2, autoscaling, efs, ec2):
            service.uninstall()
    assert replaced() == before


@contextmanager
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All services in this process, as in the daemon."""
    (rootfs := tmp_path / "0123456789ab").mkdir()
    monkeypatch.setattr("rehearsal.aws.services.ec2.images.rootfs_folder", lambda _: rootfs)
    monkeypatch.setattr(Region, "home", property(lambda _: tmp_path))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    region = Region("unit")
    region.prepare()
    Catalogue(region).add(Image("ami-earlier", "airkiln-1", [str(rootfs)], tags={"Name": "x"}))
    with mock_aws():
        drop_backends()
        try:
            install(region, Schedule(), "http://127.0.0.1:1")
            yield
        finally:
            for service in (cloudformation, rds, elbv2, autoscaling, efs, ec2):
                service.uninstall()
            PATCHES.uninstall()
            drop_backends()


def test_the_daemon_offers_debian_and_the_images_of_its_predecessor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed(tmp_path, monkeypatch):
        images = {image.id: image for image in backend().describe_images()}
    assert images["ami-earlier"].name == "airkiln-1"
    assert images["ami-00123456789ab0000"].owner_id == DEBIAN_OWNER


def test_the_daemon_filters_for_databases_and_load_balancers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmulatedELB, "submit", staticmethod(lambda _: None), raising=False)
    monkeypatch.setattr(Network, "apply", lambda *_: None)
    with installed(tmp_path, monkeypatch):
        make: Any = botocore.session.get_session().create_client
        subnets = [each["SubnetId"] for each in make("ec2").describe_subnets()["Subnets"]]
        group = make("ec2").create_security_group(GroupName="lb", Description="lb")["GroupId"]
        make("elbv2").create_load_balancer(Name="lb", Subnets=subnets, SecurityGroups=[group])
        members = [pair for listed in backend().firewall.members for pair in listed()]
        assert [groups for _, groups in members] == [[group]]


def test_auto_scaling_asks_load_balancers_about_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmulatedELB, "states", lambda _, arn: {"i-1": f"of {arn}"})
    with installed(tmp_path, monkeypatch):
        assert EmulatedAutoScaling.target_health("arn") == {"i-1": "of arn"}
