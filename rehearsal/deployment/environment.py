"""An environment as an operator has it: variables for playbooks/deploy.yml, and what its stacks have made.

The variables name what differs from an environment on AWS, and nothing in the stacks or roles knows of it:
the endpoint of the APIs, the smallest numbers of instances, and DAGs from a bucket of the rehearsal's own.
A folder of this host is behind EFS.

People open Airflow at the internal load balancer, through a port of this host. Its certificate, which the
operator of an environment imports, is for its host name and for 127.0.0.1. That is an address on purpose:
Airflow tells browsers to use TLS only (HSTS), and for a name such as localhost they would remember that for
every other program there, while they remember nothing for addresses.

The calling process must be in the region's network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from rehearsal.aws import authority
from rehearsal.aws.account import ACCOUNT, aws_region, endpoint_url
from rehearsal.aws.client import client
from rehearsal.aws.instances import list_instances
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.deployment.bake import ANSIBLE_PLAYBOOK
from rehearsal.deployment.instances import ENVIRONMENT_TAG, ROLE_TAG
from rehearsal.deployment.parameters import DAGS_BUCKET
from rehearsal.deployment.seed import DAGS, Login, publish_dags
from rehearsal.errors import RehearsalError
from rehearsal.region import REPOSITORY, Region

NAME = "local"
ZONE = "rehearsal.internal"
HOST = f"airflow.{ZONE}"
"""The name of the internal load balancer."""
LOOPBACK = IPv4Address("127.0.0.1")
HTTPS = 443
ADMINISTRATOR = "admin"
SLOTS = 4
"""Tasks that a worker runs at a time: two cores carry all machines."""
BUNDLE = {
    "name": "dags",
    "classpath": "airflow.providers.amazon.aws.bundles.s3.S3DagBundle",
    "kwargs": {"bucket_name": DAGS_BUCKET, "aws_conn_id": None},
}


@dataclass(frozen=True)
class Row:
    """One line of the table of an environment."""

    instance: str
    role: str
    zone: str
    address: str
    health: str


@dataclass(frozen=True)
class Environment:
    """The environment of one rehearsal."""

    region: Region
    name: str = NAME
    hosts: int = 1
    """Number of instances of each role."""

    @property
    def inventory(self) -> Path:
        """Folder of the inventory, which holds no secret."""
        return self.region.home / "inventory"

    @property
    def authority(self) -> Path:
        """File with the certificate of the authority that vouches for the load balancer."""
        return self.region.home / authority.CERTIFICATE

    def prepare(self, image: str) -> None:
        """Make what an operator has before the first deployment, and write the inventory.

        :param image: id of the image.
        """
        client("s3").create_bucket(Bucket=DAGS_BUCKET)
        publish_dags(DAGS)
        variables = self.variables(image, _certificate(), _hosted_zone())
        folder = self.inventory / "group_vars"
        folder.mkdir(parents=True, exist_ok=True)
        self.authority.write_text(authority.certificate())
        (self.inventory / "local.yml").write_text((REPOSITORY / "inventory/local.yml").read_text())
        (folder / f"{self.name}.yml").write_text(yaml.safe_dump(variables))

    def variables(self, image: str, certificate: str, zone: str) -> dict[str, Any]:
        """The variables of inventory/group_vars/<environment>.yml.

        :param certificate: ARN of the internal load balancer's certificate.
        :param zone: id of the hosted zone for its name.
        """
        size = {"MinSize": self.hosts, "MaxSize": self.hosts}
        return {
            "airkiln_account_id": ACCOUNT,
            "airkiln_region": aws_region(),
            "airkiln_image_id": image,
            "airkiln_administrator": {"username": ADMINISTRATOR, "email": "admin@example.com"},
            "airkiln_stack_parameters": {
                "network": {"ZoneCount": 2, "NatGateways": "one"},
                "data": {"MultiAz": "false"},
                "edge": {
                    "InternalHostName": HOST,
                    "InternalCertificateArn": certificate,
                    "InternalHostedZoneId": zone,
                },
                "webserver": size,
                "scheduler": {"HostCount": self.hosts},
            },
            "airkiln_pools": {"default": size | {"slots": SLOTS}},
            "airkiln_settings": {
                "common": {
                    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([BUNDLE]),
                    "AWS_ENDPOINT_URL": endpoint_url(),
                }
            },
        }

    def playbook(self, name: str, *arguments: str) -> list[str]:
        """The command line of a playbook on this environment, for the region's network.

        What an interrupted one leaves of its jobs goes with the rehearsal.
        """
        jobs = json.dumps({"ansible_async_dir": str(self.region.run / "jobs")})
        return [
            *(str(ANSIBLE_PLAYBOOK), "--inventory", str(self.inventory)),
            *(str(REPOSITORY / f"playbooks/{name}.yml"), "--extra-vars", jobs),
            *("--extra-vars", f"environment_name={self.name}"),
            *arguments,
        ]

    def login(self) -> Login:
        """The first administrator, whose password the deployment has drawn."""
        name = f"/airkiln/{self.name}/database/AIRKILN_ADMIN_PASSWORD"
        found = client("ssm").get_parameter(Name=name, WithDecryption=True)
        return Login(ADMINISTRATOR, str(found["Parameter"]["Value"]))

    def airflow(self, port: int, login: Login) -> Airflow:
        """Airflow at the port of this host that is forwarded to the load balancer."""
        return Airflow(f"https://{LOOPBACK}:{port}", login.username, login.password)

    def load_balancer(self) -> IPv4Address:
        """The private address of the internal load balancer.

        :raises RehearsalError: there is none.
        """
        name = f"ELB app/airkiln-{self.name}-internal/*"
        asked = {"Filters": [{"Name": "description", "Values": [name]}]}
        found = client("ec2").describe_network_interfaces(**asked)["NetworkInterfaces"]
        if not found:
            raise RehearsalError(f"{self.name} has no load balancer; deploy its stack edge.")
        return IPv4Address(str(found[0]["PrivateIpAddress"]))

    def table(self) -> list[Row]:
        """The instances that run, by role, and the database."""
        described = client("autoscaling").describe_auto_scaling_instances()["AutoScalingInstances"]
        health = {
            each["InstanceId"]: f"{each['LifecycleState']}, {each['HealthStatus']}" for each in described
        }
        rows = [
            Row(
                str(each["InstanceId"]),
                each["tags"].get(ROLE_TAG, ""),
                str(each["Placement"]["AvailabilityZone"]),
                str(each["PrivateIpAddress"]),
                health.get(each["InstanceId"], str(each["State"]["Name"])),
            )
            for each in list_instances("pending", "running")
            if each["tags"].get(ENVIRONMENT_TAG) == self.name
        ]
        databases = [
            Row(
                str(each["DBInstanceIdentifier"]),
                "database",
                str(each["AvailabilityZone"]),
                str(each["Endpoint"]["Address"]),
                str(each["DBInstanceStatus"]),
            )
            for each in client("rds").describe_db_instances()["DBInstances"]
            if each["DBInstanceIdentifier"] == f"airkiln-{self.name}"
        ]
        return sorted(rows, key=lambda row: (row.role, row.instance)) + databases


def _certificate() -> str:
    """ARN of the certificate of the internal load balancer; imports it the first time."""
    acm = client("acm")
    for known in acm.list_certificates()["CertificateSummaryList"]:
        if known["DomainName"] == HOST:
            return str(known["CertificateArn"])
    key, certificate = authority.key_and_certificate(HOST, LOOPBACK)
    imported = acm.import_certificate(
        Certificate=certificate, PrivateKey=key, CertificateChain=authority.certificate()
    )
    return str(imported["CertificateArn"])


def _hosted_zone() -> str:
    """Id of the hosted zone of the name; creates it the first time."""
    route53 = client("route53")
    for known in route53.list_hosted_zones()["HostedZones"]:
        if known["Name"] == f"{ZONE}.":
            return str(known["Id"]).rpartition("/")[2]
    made = route53.create_hosted_zone(Name=ZONE, CallerReference=ZONE)["HostedZone"]
    return str(made["Id"]).rpartition("/")[2]
