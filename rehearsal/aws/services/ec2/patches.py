"""Corrections of moto's EC2."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.flow_logs import FlowLogsBackend
from moto.ec2.responses.amis import AmisResponse

from rehearsal.aws.services.patching import Moto, Patch


def _image(response: AmisResponse) -> Moto:
    return response.ec2_backend.describe_images(ami_ids=[response._get_param("ImageId")])[0]


def _modify_image_attribute(original: Moto) -> Moto:
    def modify_image_attribute(self: AmisResponse) -> ActionResult:
        """Answer ModifyImageAttribute, for launch permissions and for the description."""
        description = self._get_param("Description", {}).get("Value")
        if description is None:
            answer: ActionResult = original(self)
            return answer
        _image(self).description = description
        return ActionResult({"Return": True})

    return modify_image_attribute


def _enable_image_deprecation(_: Moto) -> Moto:
    def enable_image_deprecation(self: AmisResponse) -> ActionResult:
        """Answer EnableImageDeprecation."""
        _image(self).deprecation_time = self._get_param("DeprecateAt")
        return ActionResult({"Return": True})

    return enable_image_deprecation


def _disable_image_deprecation(_: Moto) -> Moto:
    def disable_image_deprecation(self: AmisResponse) -> ActionResult:
        """Answer DisableImageDeprecation."""
        _image(self).deprecation_time = None
        return ActionResult({"Return": True})

    return disable_image_deprecation


def _create_image(original: Moto) -> Moto:
    def create_image(
        self: AmiBackend,
        instance_id: str,
        name: str,
        description: str,
        tag_specifications: list[dict[str, Any]],
    ) -> Ami:
        """Make an image; tag its snapshot too."""
        of_snapshot = [each for each in tag_specifications if each["ResourceType"] == "snapshot"]
        others = [each for each in tag_specifications if each["ResourceType"] != "snapshot"]
        ami: Ami = original(self, instance_id, name, description, others)
        for specification in of_snapshot:
            ami.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in specification["Tags"]})
        return ami

    return create_image


def _create_flow_logs(original: Moto) -> Moto:
    def create_flow_logs(self: FlowLogsBackend, **options: Moto) -> Moto:
        """Create flow logs, in a folder of a bucket if the destination names one."""
        destination: str = options.pop("log_destination") or ""
        bucket_arn, slash, folder = destination.partition("/")
        flow_logs, errors = original(self, log_destination=bucket_arn or None, **options)
        for flow_log in flow_logs if slash and folder else []:
            flow_log.log_destination = destination
        return flow_logs, errors

    return create_flow_logs


PATCHES = (
    Patch(
        AmisResponse,
        "modify_image_attribute",
        _modify_image_attribute,
        upstream="moto/ec2/responses/amis.py, AmisResponse.modify_image_attribute",
        problem="moto changes launch permissions only; AWS also changes the description.",
    ),
    Patch(
        AmisResponse,
        "enable_image_deprecation",
        _enable_image_deprecation,
        upstream="moto/ec2/responses/amis.py, AmisResponse",
        problem="moto does not implement EnableImageDeprecation.",
    ),
    Patch(
        AmisResponse,
        "disable_image_deprecation",
        _disable_image_deprecation,
        upstream="moto/ec2/responses/amis.py, AmisResponse",
        problem="moto does not implement DisableImageDeprecation.",
    ),
    Patch(
        AmiBackend,
        "create_image",
        _create_image,
        upstream="moto/ec2/models/amis.py, AmiBackend.create_image (image tags by "
        "https://github.com/getmoto/moto/pull/3604)",
        problem="moto raises NotImplementedError for TagSpecifications of the snapshot; AWS tags it.",
    ),
    Patch(
        FlowLogsBackend,
        "create_flow_logs",
        _create_flow_logs,
        upstream="moto/ec2/models/flow_logs.py, FlowLogsBackend.create_flow_logs",
        problem="moto takes the folder in a destination bucket_ARN/folder/ for a part of the bucket's name.",
    ),
)
