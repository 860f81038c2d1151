"""Replaces moto's CloudFormation with the emulated one."""

from __future__ import annotations

import os

from moto.cloudformation import urls

from rehearsal.aws.services.cloudformation.responses import CloudFormation
from rehearsal.aws.services.patching import Substitutions

_substitutions = Substitutions()


def install(endpoint: str) -> None:
    """Answer every later request with the emulated CloudFormation.

    :param endpoint: URL at which it calls the other services. They need the patches of moto.
    """
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    _substitutions.attribute(CloudFormation, "endpoint", endpoint)
    _substitutions.item(urls.url_paths, "{0}/$", CloudFormation.dispatch)


def uninstall() -> None:
    """Restore moto's CloudFormation."""
    _substitutions.restore()
