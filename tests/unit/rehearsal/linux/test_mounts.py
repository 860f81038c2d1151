"""Paths with blanks, quotes and separators reach mount and systemd-nspawn unchanged."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from rehearsal.linux.machine import Machine, Specification
from rehearsal.linux.mounts import bind_option, escape, overlay_command, quote, remove_tree
from rehearsal.region import Region

AWKWARD = Path('/srv/air kiln/it\'s "one": a,b\\c')


def test_an_overlay_takes_any_path() -> None:
    words = shlex.split(overlay_command([AWKWARD / "top", Path("/low")], AWKWARD, Path("/w"), AWKWARD))
    options = words[words.index("-o") + 1]
    escaped = '/srv/air kiln/it\'s "one"\\: a\\,b\\\\c'
    assert words[-1] == str(AWKWARD)
    assert f"lowerdir={escaped}/top:/low,upperdir={escaped},workdir=/w," in options


def test_a_bind_mount_takes_a_colon() -> None:
    assert bind_option(Path("/a b:c"), "/d") == "--bind-ro=/a b\\:c:/d"


def test_a_plain_path_stays_as_it_is() -> None:
    assert escape(Path("/a/b c"), ":,") == "/a/b c"
    assert quote(Path("/a/b")) == "/a/b"


@pytest.mark.parametrize("folder", ["air kiln", "it's", "a:b"])
def test_a_machine_starts_below_any_folder(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / folder
    monkeypatch.setattr(Region, "home", property(lambda _: home))
    monkeypatch.setattr("rehearsal.linux.cgroups.hierarchies", list)
    region = Region("unit")
    specification = Specification("m", "10.42.1.1", "m", [str(tmp_path)], files={"/etc/a": "text"})
    script = Machine.create(region, specification)._script(Path("/run/netns/x"))
    mount, remove, write, execute = (shlex.split(line) for line in script.splitlines())
    root = home / "machines" / "m" / "root"
    assert mount[-1] == str(root)
    assert remove == ["rm", "-f", f"{root}/etc/resolv.conf"]
    assert write[-1] == f"{root}/etc/resolv.conf"
    assert f"--directory={root}" in execute
    assert execute[-1] == bind_option(root.parent / "file-0", "/etc/a")


def test_a_tree_with_blanks_in_its_name_is_removed(tmp_path: Path) -> None:
    tree = tmp_path / "air kiln"
    (tree / "below").mkdir(parents=True)
    remove_tree(tree)
    remove_tree(tree)
    assert not tree.exists()
