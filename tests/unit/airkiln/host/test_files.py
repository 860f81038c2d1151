"""Files are replaced whole, with mode and owner, or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from airkiln.host import files
from airkiln.host.files import Ownership


def test_a_file_has_its_mode_before_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    change = os.fchmod

    def record(descriptor: int, mode: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        change(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", record)
    files.write({tmp_path / "x.env": ('A="1"\n', Ownership(0o640))})
    assert sizes == [0]
    assert stat.S_IMODE((tmp_path / "x.env").stat().st_mode) == 0o640


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.write({tmp_path / "x.env": ("", Ownership(0o640))})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.env").stat().st_mode) == 0o640


@pytest.mark.parametrize("step", ["fchown", "fchmod"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "x.env"
    path.write_text("OLD=1\n")

    def fail(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(PermissionError):
        files.write({path: ('NEW="2"\n', Ownership(0o640, os.getuid(), os.getgid()))})
    assert path.read_text() == "OLD=1\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.env"]


def test_a_second_file_that_cannot_be_written_keeps_the_first_from_changing(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_text("OLD=1\n")
    with pytest.raises(FileNotFoundError):
        files.write(
            {
                path: ('NEW="2"\n', Ownership(0o640)),
                tmp_path / "missing" / "y.env": ("", Ownership(0o640)),
            }
        )
    assert path.read_text() == "OLD=1\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.env"]


def test_one_file_is_replaced_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    files.replace(path, "one\n")
    files.replace(path, "two\n", 0o600)
    assert path.read_text() == "two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_file_without_an_owner_is_written_where_the_sandbox_refuses_chown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refused)
    files.replace(tmp_path / "state", "{}", 0o600)
    assert (tmp_path / "state").read_text() == "{}"
