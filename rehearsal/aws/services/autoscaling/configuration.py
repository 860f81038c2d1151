"""What a group launches: a version of a launch template, with the types of a mixed instances policy if any.

Left out: launch templates and attributes of single overrides (InstanceRequirements).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.models import EC2Backend

from rehearsal.aws.services.autoscaling.models import EmulatedGroup, Member, invalid
from rehearsal.aws.services.patching import Moto


@dataclass(frozen=True)
class Configuration:
    """A launch template's version as a group or a request names it, such as ``$Latest``."""

    template: Moto
    version: str
    policy: dict[str, Any] | None

    @property
    def number(self) -> int:
        """The version's number."""
        return int(self.template.get_version(self.version).number)

    @property
    def reversible(self) -> bool:
        """Whether a rollback can return to it: a numbered version, whose image is no SSM parameter."""
        image = self.template.get_version(self.version).image_id
        return self.version.isdigit() and not image.startswith("resolve:ssm:")

    @property
    def types(self) -> list[str]:
        """The instance types that it launches."""
        overrides = (self.policy or {}).get("LaunchTemplate", {}).get("Overrides") or []
        named = [str(each["InstanceType"]) for each in overrides if each.get("InstanceType")]
        return named or [str(self.template.get_version(self.version).instance_type)]

    def matches(self, member: Member) -> bool:
        """Return whether a member is what this configuration launches (SkipMatching)."""
        template = member.launch_template or {}
        return (
            template.get("LaunchTemplateId") == self.template.id
            and member.version == self.number
            and member.instance_type in self.types
        )


def configuration_of(group: EmulatedGroup) -> Configuration | None:
    """Return what a group launches; None for a launch configuration."""
    if group.ec2_launch_template is None:
        return None
    return Configuration(
        group.ec2_launch_template, str(group.launch_template_version), group.mixed_instances_policy
    )


def read_configuration(ec2: EC2Backend, group: EmulatedGroup, desired: dict[str, Any]) -> Configuration:
    """Return the DesiredConfiguration of a request.

    :raises AutoscalingClientError: it names no template that exists.
    """
    policy = desired.get("MixedInstancesPolicy")
    template = desired.get("LaunchTemplate")
    if (policy is None) == (template is None):
        raise invalid("A DesiredConfiguration has either a LaunchTemplate or a MixedInstancesPolicy.")
    if policy is not None:
        own = group.mixed_instances_policy or {}
        policy = {key: policy.get(key, own.get(key)) for key in ("LaunchTemplate", "InstancesDistribution")}
        policy = {key: value for key, value in policy.items() if value is not None}
        template = (policy.get("LaunchTemplate") or {}).get("LaunchTemplateSpecification")
    if not template or ("LaunchTemplateId" in template) == ("LaunchTemplateName" in template):
        raise invalid("Valid requests must contain either launchTemplateId or LaunchTemplateName")
    try:
        found = (
            ec2.get_launch_template(template["LaunchTemplateId"])
            if "LaunchTemplateId" in template
            else ec2.get_launch_template_by_name(template["LaunchTemplateName"])
        )
    except ServiceException as error:
        raise invalid(f"You must use a valid fully-formed launch template. {error}") from error
    version = str(template.get("Version") or "$Default")
    if version not in ("$Default", "$Latest") and not _exists(found, version):
        raise invalid(
            "You must use a valid fully-formed launch template. Could not find the specified version "
            f"{version} for the launch template with ID {found.id}."
        )
    return Configuration(found, version, policy)


def adopt(group: EmulatedGroup, configuration: Configuration) -> None:
    """Have a group launch a configuration from now on."""
    specification = {
        "LaunchTemplateId": configuration.template.id,
        "LaunchTemplateName": configuration.template.name,
        "Version": configuration.version,
    }
    group.ec2_launch_template = configuration.template
    group.launch_template_version = configuration.version
    group.mixed_instances_policy = configuration.policy
    if configuration.policy is None:
        group.provided_launch_template_version = configuration.version
    else:
        launched = configuration.policy.get("LaunchTemplate") or {}
        group.mixed_instances_policy = configuration.policy | {
            "LaunchTemplate": launched | {"LaunchTemplateSpecification": specification}
        }


def _exists(template: Moto, version: str) -> bool:
    return version.isdigit() and 1 <= int(version) <= len(template.versions)
