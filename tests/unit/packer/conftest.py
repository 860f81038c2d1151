"""What the tests of the Packer template share: the packer that `make tools` found or built."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
Packer = Callable[..., subprocess.CompletedProcess[str]]


def _find_packer() -> str | None:
    """Return the packer of `make tools`, which is exported as PACKER, or any other that can be had."""
    candidates = (os.environ.get("PACKER"), str(ROOT / "build/tools/packer"), "packer")
    return next((found for name in candidates if name and (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def packer() -> Packer:
    """A function that runs packer in the repository's root, without credentials unless they are given."""
    binary = _find_packer()
    if binary is None:
        pytest.skip(
            "no packer on the PATH and none in build/tools: see packer/README.md, or run `make tools`"
        )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    plugins = ROOT / "build/tools/plugins"
    if plugins.is_dir():
        environment.setdefault("PACKER_PLUGIN_PATH", str(plugins))
    environment |= {"CHECKPOINT_DISABLE": "1", "AWS_REGION": "eu-west-1"}

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binary, *arguments],
            cwd=ROOT,
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run
