"""Records of processes."""

from __future__ import annotations

import os
from pathlib import Path

from rehearsal.linux.processes import Process, start_time


def test_a_record_of_a_process_is_not_fooled_by_a_reused_id(tmp_path: Path) -> None:
    own = Process.of(os.getpid())
    assert own is not None
    own.write(tmp_path / "own.json")
    assert Process.read(tmp_path / "own.json") == own
    Process(own.pid, own.started + 1).write(tmp_path / "other.json")
    assert Process.read(tmp_path / "other.json") is None


def test_a_missing_or_broken_record_is_no_process(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    assert Process.read(tmp_path / "broken.json") is None
    assert Process.read(tmp_path / "missing.json") is None
    assert start_time(2**22 + 1) is None
