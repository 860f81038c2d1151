from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.aws.services.cloudformation.clients import clients
from tests.stacks.deployed.environment import REGION, Client, Environment, Parameters
from tests.support.servers import cloudformation

PUBLIC = {
    "PublicAccess": "oidc",
    "PublicHostName": "airflow.example.com",
    "OidcIssuer": "https://login.example.com",
    "OidcAuthorizationEndpoint": "https://login.example.com/authorize",
    "OidcTokenEndpoint": "https://login.example.com/token",
    "OidcUserInfoEndpoint": "https://login.example.com/userinfo",
    "OidcClientId": "airflow",
    "OidcClientSecretName": "airflow/oidc",
}
ZONES = f"{REGION}a,{REGION}b,{REGION}c"


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A local AWS of the tests' own, on 127.0.0.1."""
    with cloudformation(tmp_path_factory.mktemp("aws") / "log") as url:
        yield url


@pytest.fixture(scope="session")
def around(endpoint: str) -> Parameters:
    """What an environment needs of its surroundings: certificate, image, zone, web ACL, secrets, boundary."""
    client = clients(endpoint, REGION)

    def certificate(name: str) -> str:
        return str(client("acm").request_certificate(DomainName=name)["CertificateArn"])

    zones = (_zone(client("route53"), number) for number in range(2000))
    zone = next(zone for zone in zones if zone.startswith("Z"))
    document = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
    policy = client("iam").create_policy(PolicyName="boundary", PolicyDocument=document)["Policy"]["Arn"]
    client("secretsmanager").create_secret(
        Name="airflow/oidc", SecretString='{"client_secret": "of-the-provider"}'
    )
    metrics = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "all"}
    acl = client("wafv2").create_web_acl(
        Name="all", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=metrics, Rules=[]
    )["Summary"]["ARN"]
    prefixes = client("ec2").describe_managed_prefix_lists()["PrefixLists"]
    return {
        "InternalCertificateArn": certificate("airflow.internal.example.com"),
        "PublicCertificateArn": certificate("airflow.example.com"),
        "ImageId": _image(client("ec2")),
        "HostedZoneId": zone,
        "PermissionsBoundaryArn": str(policy),
        "WebAclArn": str(acl),
        "S3PrefixListId": next(
            one["PrefixListId"] for one in prefixes if one["PrefixListName"].endswith("s3")
        ),
    }


def _zone(route53: Client, number: int) -> str:
    """A hosted zone; AWS's ids begin with Z, moto's with any sign."""
    made = route53.create_hosted_zone(Name="example.com", CallerReference=str(number))
    return str(made["HostedZone"]["Id"]).rpartition("/")[2]


def _image(ec2: Client) -> str:
    return str(ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"])


def small(endpoint: str, around: Parameters, name: str) -> Environment:
    """The least: two zones, one NAT gateway, no public door, one pool, SQS."""
    secrets(endpoint, name)
    choices = {
        "": {
            "InternalHostName": "airflow.internal.example.com",
            "InternalCertificateArn": around["InternalCertificateArn"],
            "ImageId": around["ImageId"],
        },
        "network": {"Zones": f"{REGION}a,{REGION}b", "ZoneCount": "2", "NatGateways": "one"},
        "scheduler": {"HostCount": "1"},
        "webserver": {"MinSize": "1"},
    }
    environment = Environment(endpoint, name, choices)
    environment.deploy(without=("offload",))
    return environment


def whole(endpoint: str, around: Parameters, name: str) -> Environment:
    """All that there is: endpoints only, Redis, the public door with OIDC, two pools, names, Fargate."""
    secrets(endpoint, name)
    choices = {
        "": PUBLIC
        | {
            "InternalHostName": "airflow.internal.example.com",
            "InternalHostedZoneId": around["HostedZoneId"],
            "PublicHostedZoneId": around["HostedZoneId"],
            "Broker": "redis",
            "RedisNodeType": "cache.t4g.small",
            "VolumeInitializationRate": "200",
        }
        | {key: around[key] for key in around if key != "HostedZoneId"},
        "network": {"Zones": ZONES, "NatGateways": "none"},
        "firewall": {"UserCidr": "10.8.0.0/16"},
        "endpoints": {"Offload": "yes", "SecretsManager": "yes"},
        "offload": {"ContainerImage": IMAGE},
        "observability": {"AlarmEmail": "airflow@example.com"},
    }
    spot = {"SecondInstanceType": "m6i.xlarge", "ThirdInstanceType": "m5.xlarge", "OnDemandPercent": "0"}
    environment = Environment(endpoint, name, choices, {"default": {}, "spot": spot})
    environment.deploy()
    return environment


IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/airflow@sha256:" + "0" * 64


def secrets(endpoint: str, name: str) -> None:
    ssm = clients(endpoint, REGION)("ssm")
    for path in ("database/AIRKILN_ADMIN_DATABASE_PASSWORD", "deploy/REDIS_TOKEN"):
        ssm.put_parameter(
            Name=f"/airkiln/{name}/{path}", Value=f"secret-of-{name}-{path[:3]}", Type="SecureString"
        )


@pytest.fixture(scope="session")
def least(endpoint: str, around: Parameters) -> Environment:
    return small(endpoint, around, "least")


@pytest.fixture(scope="session")
def most(endpoint: str, around: Parameters) -> Environment:
    return whole(endpoint, around, "most")


@pytest.fixture(scope="session", params=["least", "most"])
def environment(request: pytest.FixtureRequest) -> Environment:
    found: Environment = request.getfixturevalue(request.param)
    return found
