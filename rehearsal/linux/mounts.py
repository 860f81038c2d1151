"""Mounts and folders of machines. Every path may contain any character but NUL and a line break.

A path passes through a shell and through a program with a syntax of its own: the options of an overlay
separate layers by colons and options by commas, and systemd-nspawn separates source and destination of a bind
mount by a colon. The functions here quote for both.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from rehearsal.linux.processes import run

PROPAGATE = Path("/run/systemd/nspawn/propagate")
"""systemd-nspawn's folders for mounts pushed into a container. They remain where /run is not a tmpfs."""


def overlay_command(layers: Sequence[Path], upper: Path, work: Path, target: Path) -> str:
    """Return the shell command that mounts an overlay.

    ``volatile`` leaves out fsync: after a crash of the host the machine's disk is lost, as if it had been
    terminated. ``redirect_dir`` lets programs rename folders of the image.

    :param layers: read-only folders from top to bottom.
    """
    lower = ":".join(escape(layer, ":,") for layer in layers)
    folders = f"lowerdir={lower},upperdir={escape(upper, ':,')},workdir={escape(work, ':,')}"
    options = f"{folders},redirect_dir=on,index=off,volatile"
    return f"mount -t overlay overlay -o {quote(options)} {quote(target)}"


def bind_option(source: Path, destination: str, *, writable: bool = False) -> str:
    """Return the option of systemd-nspawn that shows a file or folder of the host, read-only by default."""
    return f"--bind{'' if writable else '-ro'}={escape(source, ':')}:{destination}"


def escape(path: Path, separators: str) -> str:
    r"""Return a path with a backslash before each separator and backslash."""
    return re.sub(f"([{re.escape(separators)}\\\\])", r"\\\1", str(path))


def quote(word: str | Path) -> str:
    """Return a word that a shell takes unchanged."""
    return shlex.quote(str(word))


def remove_tree(path: Path) -> None:
    """Remove a folder and everything in it, but nothing that is mounted there."""
    if path.exists():
        run(["rm", "-rf", "--one-file-system", path], timeout=300)
    if path.exists():
        shutil.rmtree(path)
