"""What the static proof of the templates shares: the tools that read them, in an environment of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stacks.static.template import NAMES, Template

TOOLS = Path(__file__).parents[3] / "build" / "stacks"
GUARD = TOOLS / "guard" / "node_modules" / "@cdklabs" / "cdk-validator-cfnguard"


@pytest.fixture(params=NAMES)
def template(request: pytest.FixtureRequest) -> Template:
    """Each template in turn."""
    return Template(request.param)


def tool(name: str) -> str:
    """The path of a tool; a test that cannot run its tool fails."""
    path = TOOLS / "bin" / name
    assert path.exists(), f"{path} is missing: make stacks-tools"
    return str(path)
