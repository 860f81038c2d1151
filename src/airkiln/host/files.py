"""Files that are replaced whole: a reader sees the old content or the new one, never a part of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ownership:
    """Mode and owner of a file. `uid` and `gid` None: those of the writing process."""

    mode: int
    uid: int | None = None
    gid: int | None = None


def write(contents: Mapping[Path, tuple[str, Ownership]]) -> None:
    """Replace several files. Every draft is complete beside its target before the first one is moved.

    Mode and owner are set before any content is written. Raises OSError; no draft is left behind then.
    """
    drafts: list[tuple[Path, Path]] = []
    try:
        for path, (text, ownership) in contents.items():
            # Not the module tempfile: its imports would cost every daemon a megabyte.
            draft = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            drafts.append((draft, path))
            with os.fdopen(descriptor, "wb") as file:
                if (ownership.uid, ownership.gid) != (None, None):  # the sandbox of most daemons refuses it
                    os.fchown(descriptor, _id(ownership.uid), _id(ownership.gid))
                os.fchmod(descriptor, ownership.mode)
                file.write(text.encode())
        while drafts:
            draft, path = drafts[0]
            draft.replace(path)
            drafts.pop(0)
    finally:
        for draft, _ in drafts:
            with suppress(OSError):
                draft.unlink()


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace one file, owned by the writing process. Raises OSError."""
    write({path: (text, Ownership(mode))})


def _id(number: int | None) -> int:
    return -1 if number is None else number
