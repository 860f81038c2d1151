"""Corrections of moto's Route 53."""

from __future__ import annotations

from moto.route53.models import HostedZoneIdentifier

from rehearsal.aws.services.patching import Moto, Patch


def _generate(original: Moto) -> Moto:
    def generate(self: HostedZoneIdentifier, *args: Moto, **options: Moto) -> str:
        """Return an id that begins as AWS's do."""
        return "Z" + str(original(self, *args, **options))[1:]

    return generate


PATCHES = (
    Patch(
        HostedZoneIdentifier,
        "generate",
        _generate,
        upstream="moto/route53/models.py, HostedZoneIdentifier and Route53Backend.create_hosted_zone",
        problem="moto's ids of hosted zones begin with any letter or digit; those of AWS begin with Z.",
    ),
)
