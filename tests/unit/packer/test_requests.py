"""What a bake asks of EC2, read from the requests of a real `packer build` to moto.

It comes as far as the first SSH connection, which nobody answers there; the tidying that follows is seen too.
"""

import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from moto.ec2.models import amis, ec2_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from .conftest import Packer

Request = dict[str, str]
SOURCE_AMI = {
    "ami_id": "ami-0a1b2c3d4e5f60718",
    "name": "debian-13-amd64-20260101-2345",
    "description": "Debian 13",
    "owner_id": "136693071363",
    "public": True,
    "virtualization_type": "hvm",
    "architecture": "x86_64",
    "state": "available",
    "platform": None,
    "image_type": "machine",
    "hypervisor": "xen",
    "root_device_name": "/dev/xvda",
    "root_device_type": "ebs",
    "sriov": "simple",
    "creation_date": "2026-01-01T00:00:00.000Z",
}


@pytest.fixture(scope="module")
def requests_of_a_bake(packer: Packer, tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """Every request that one bake made, in order, as the parameters of EC2's query protocol."""
    directory = tmp_path_factory.mktemp("ec2")
    seen: list[Request] = []
    with pytest.MonkeyPatch.context() as patch:
        # moto reads this file when it is imported, which an earlier test may have done. So the
        # list is given, the variable keeps others off it, and a region made before is made anew.
        patch.setenv("MOTO_AMIS_PATH", "given")
        patch.setattr(amis, "AMIS", [dict(SOURCE_AMI)])
        ec2_backends.clear()
        application = DomainDispatcherApplication(create_backend_app)

        def recording(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            seen.append(dict(parse_qsl(body.decode(), keep_blank_values=True)))
            answer: Iterable[bytes] = application(environ, start_response)
            return answer

        server = make_server("127.0.0.1", 0, recording, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = bake(packer, f"http://127.0.0.1:{server.port}", directory / "manifest.json")
        server.shutdown()
    ec2_backends.clear()
    assert "Timeout waiting for SSH" in result, result
    return seen


def bake(packer: Packer, endpoint: str, manifest: Path) -> str:
    """Run `packer build` against an endpoint as far as it comes, and return what it printed."""
    variables = {
        "ssh_interface": "private_ip",
        "ssh_source_cidrs": '["203.0.113.7/32"]',
        "ssh_timeout": "1s",
        "poll_seconds": "1",
        "kms_key_id": "alias/airkiln",
        "commit": "0123456789abcdef",
        "tags": '{"cost-centre"="4711"}',
        "manifest_path": str(manifest),
    }
    settings = [argument for name, value in variables.items() for argument in ("-var", f"{name}={value}")]
    result = packer(
        "build",
        "-color=false",
        *settings,
        "packer/",
        AWS_ENDPOINT_URL=endpoint,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_EC2_METADATA_DISABLED="true",
    )
    return result.stdout + result.stderr


def only(requests: list[Request], action: str) -> Request:
    """Return the one request of an action, or fail."""
    matching = [request for request in requests if request.get("Action") == action]
    assert len(matching) == 1, f"{len(matching)} requests of {action}"
    return matching[0]


def tags(request: Request) -> dict[str, dict[str, str]]:
    """Return the tags that a request gives to new resources, by type of resource."""
    result = {}
    number = 1
    while kind := request.get(f"TagSpecification.{number}.ResourceType"):
        prefix = f"TagSpecification.{number}.Tag."
        keys = [key for key in request if key.startswith(prefix) and key.endswith(".Key")]
        result[kind] = {request[key]: request[f"{key.removesuffix('Key')}Value"] for key in keys}
        number += 1
    return result


def test_the_source_image_is_debians_own(requests_of_a_bake: list[Request]) -> None:
    searches = [request for request in requests_of_a_bake if request.get("Action") == "DescribeImages"]
    assert any(search.get("Owner.1") == "136693071363" for search in searches)
    assert only(requests_of_a_bake, "RunInstances")["ImageId"] == SOURCE_AMI["ami_id"]


def test_the_build_instance_answers_imdsv2_only_and_to_itself_only(requests_of_a_bake: list[Request]) -> None:
    run = only(requests_of_a_bake, "RunInstances")
    assert run["MetadataOptions.HttpTokens"] == "required"
    assert run["MetadataOptions.HttpPutResponseHopLimit"] == "1"


def test_the_volume_is_encrypted_from_the_start_with_the_chosen_key(
    requests_of_a_bake: list[Request],
) -> None:
    run = only(requests_of_a_bake, "RunInstances")
    prefix = "BlockDeviceMapping.1."
    volume = {key.removeprefix(prefix): value for key, value in run.items() if key.startswith(prefix)}
    assert volume == {
        "DeviceName": "/dev/xvda",
        "Ebs.DeleteOnTermination": "true",
        "Ebs.Encrypted": "true",
        "Ebs.KmsKeyId": "alias/airkiln",
        "Ebs.VolumeSize": "12",
        "Ebs.VolumeType": "gp3",
    }


def test_ssh_is_open_to_the_caller_alone(requests_of_a_bake: list[Request]) -> None:
    rule = only(requests_of_a_bake, "AuthorizeSecurityGroupIngress")
    opened = {key: value for key, value in rule.items() if key.startswith("IpPermissions")}
    assert opened == {
        "IpPermissions.1.FromPort": "22",
        "IpPermissions.1.ToPort": "22",
        "IpPermissions.1.IpProtocol": "tcp",
        "IpPermissions.1.IpRanges.1.CidrIp": "203.0.113.7/32",
    }


def test_the_key_pair_is_made_for_this_bake(requests_of_a_bake: list[Request]) -> None:
    pair = only(requests_of_a_bake, "CreateKeyPair")
    assert pair["KeyType"] == "ed25519"
    assert only(requests_of_a_bake, "RunInstances")["KeyName"] == pair["KeyName"]


def test_the_instance_its_interface_and_its_volume_say_what_is_baked_from_what(
    requests_of_a_bake: list[Request],
) -> None:
    given = tags(only(requests_of_a_bake, "RunInstances"))
    assert set(given) == {"instance", "network-interface", "volume"}
    for kind in given:
        facts = {name: value for name, value in given[kind].items() if name != "Name"}
        assert facts == {
            "airkiln:version": "0.1.0",
            "airkiln:airflow-version": "3.3.2",
            "airkiln:architecture": "amd64",
            "airkiln:commit": "0123456789abcdef",
            "airkiln:source-ami": SOURCE_AMI["ami_id"],
            "airkiln:source-ami-name": SOURCE_AMI["name"],
            "cost-centre": "4711",
        }
        assert given[kind]["Name"].startswith("airkiln-0.1.0-airflow-3.3.2-amd64-")


def test_a_bake_that_failed_leaves_nothing_behind(requests_of_a_bake: list[Request]) -> None:
    only(requests_of_a_bake, "TerminateInstances")
    rule = only(requests_of_a_bake, "AuthorizeSecurityGroupIngress")
    assert only(requests_of_a_bake, "DeleteSecurityGroup")["GroupId"] == rule["GroupId"]
    pair = only(requests_of_a_bake, "CreateKeyPair")
    assert only(requests_of_a_bake, "DeleteKeyPair")["KeyName"] == pair["KeyName"]
