"""What EC2 refuses to launch, the emulated one refuses as well."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.unit.rehearsal.aws.emulated_aws import EmulatedAws

IN_METADATA = {"HttpTokens": "required", "InstanceMetadataTags": "enabled"}


def launch(aws: EmulatedAws, key: str, metadata: dict[str, str]) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": "x"}]}]
    aws.ec2.run_instances(
        ImageId="ami-1", MinCount=1, MaxCount=1, MetadataOptions=metadata, TagSpecifications=tags
    )


@pytest.mark.parametrize("key", ["Cost Center", "a/b", "..", "_index"])
def test_a_tag_that_metadata_cannot_hold_prevents_the_launch(aws: EmulatedAws, key: str) -> None:
    with pytest.raises(ClientError, match="is not a valid tag key"):
        launch(aws, key, IN_METADATA)


def test_a_tag_of_the_launch_template_prevents_it_too(aws: EmulatedAws) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Cost Center", "Value": "x"}]}]
    template = aws.template(MetadataOptions=IN_METADATA, TagSpecifications=tags)
    with pytest.raises(ClientError, match="is not a valid tag key"):
        aws.ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate={"LaunchTemplateId": template})


@pytest.mark.parametrize(
    ("key", "metadata"),
    [("airkiln:role", IN_METADATA), ("Cost Center", {"HttpTokens": "required"})],
)
def test_other_tags_do_not(aws: EmulatedAws, key: str, metadata: dict[str, str]) -> None:
    launch(aws, key, metadata)
