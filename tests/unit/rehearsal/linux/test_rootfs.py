"""The recipe of the root filesystem, and the mount of its layers."""

from __future__ import annotations

from pathlib import Path

from rehearsal.linux.mounts import overlay_command
from rehearsal.linux.rootfs import recipe_hash


def test_the_recipe_changes_with_the_local_certificates(tmp_path: Path) -> None:
    without = recipe_hash(tmp_path)
    (tmp_path / "company.crt").write_text("a certificate")
    assert recipe_hash(tmp_path) != without
    assert recipe_hash(tmp_path / "nowhere") == without


def test_the_top_layer_is_named_first() -> None:
    command = overlay_command([Path("/top"), Path("/base")], Path("/u"), Path("/w"), Path("/root"))
    assert "lowerdir=/top:/base," in command
