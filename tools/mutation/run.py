"""Runs a module's tests once for each change of it. No file is changed: the module comes from memory."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from tools.mutation.changes import changes, sites

ROOT = Path(__file__).resolve().parents[2]
SLOWER = 5.0
"""Times what the unchanged module's tests took, after which a change counts as noticed: it never ends."""


class BrokenError(Exception):
    """The tests fail with the module as it is; the message names them."""


@dataclass(frozen=True)
class Change:
    """A change by function and text and not by line, so that it keeps its name while the file moves on."""

    function: str
    text: str


@dataclass
class Findings:
    """What the tests said of a module's changes."""

    tried: int = 0
    left_out: int = 0
    """Changes for which there was no time."""
    survivors: list[Change] = field(default_factory=list)


def run(
    path: Path, tests: Sequence[str], until: float, tell: Callable[[Change], None] = lambda _: None
) -> Findings:
    """Try every change of the module at `path`, until that moment of time.monotonic().

    `tell` hears of each survivor at once. Raises BrokenError if the tests fail with no change at all.
    """
    findings = Findings()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    began = time.monotonic()
    if not _passes(path, tree, tests, None):
        raise BrokenError(f"The tests fail with {path} as it is: run `pytest {' '.join(tests)}`.")
    limit = SLOWER * (time.monotonic() - began)
    for site in list(sites(tree)):
        for changed in changes(site):
            if time.monotonic() > until:
                findings.left_out += 1
                continue
            findings.tried += 1
            change = Change(site.function, f"{ast.unparse(site.node)} -> {ast.unparse(changed)}")
            site.put(changed)
            if _passes(path, tree, tests, limit):
                findings.survivors.append(change)
                tell(change)
            site.put(site.node)
    return findings


def _passes(path: Path, tree: ast.Module, tests: Sequence[str], limit: float | None) -> bool:
    """Whether the tests pass within `limit` seconds with the module as this tree has it.

    In a child process, so that the next change begins with a module that is not yet imported.
    """
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    code = compile(ast.fix_missing_locations(tree), path, "exec")
    child = os.fork()
    if child == 0:
        _test(_FromMemory(name, path, code), tests)
    ended, _, _ = select.select([os.pidfd_open(child)], [], [], limit)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return bool(ended) and os.waitstatus_to_exitcode(status) == 0


def _test(finder: _FromMemory, tests: Sequence[str]) -> None:
    """The child process: run the tests, say nothing, and end with pytest's exit status."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    sys.meta_path.insert(0, finder)
    import pytest  # noqa: PLC0415 - it must not import the module under test before the finder is there

    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])))


class _FromMemory(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from this code, and leaves all others to the next finder."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Called by the import system."""
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """An ordinary one."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed code."""
        exec(self._code, module.__dict__)  # noqa: S102 - the repository's own module
