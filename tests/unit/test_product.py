"""The product does not know that it is rehearsed or tested; it is given endpoints, as anywhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("src", "roles", "playbooks", "packer", "inventory", "ansible.cfg")
GIVEAWAYS = re.compile(
    r"rehears|\bmoto\b|stand-?in|molecule|pytest|10\.42\.|nspawn|detect.virt", re.IGNORECASE
)


def product_files() -> list[Path]:
    """What git tracks of the product, but for the words about it."""
    asked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", *PRODUCT], check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in asked.stdout.split("\0") if name and not name.endswith(".md")]


def test_the_product_is_found() -> None:
    assert len(product_files()) > 100


@pytest.mark.parametrize("path", product_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_of_the_product_asks_whether_it_is_rehearsed(path: Path) -> None:
    found = [line for line in path.read_text(encoding="utf-8").splitlines() if GIVEAWAYS.search(line)]
    assert found == []
