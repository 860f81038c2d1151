"""Runs a module's tests once for each change of it.

pytest collects the tests once. Each change is then made in a child process of its own, in the module that the
tests have imported: its functions get the changed code, its constants the changed values. No file is changed.
"""

from __future__ import annotations

import ast
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TextIO

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings

from tools.mutation.changes import changes, describe, sites

ROOT = Path(__file__).resolve().parents[2]
SLOWER = 3
"""Times the processor time that a test takes without a change. A change with which it takes more counts as
noticed: it may never end."""
LEAST = 0.5
"""Seconds of processor time that a test has in any case."""
LONGEST = 300.0
"""Seconds after which a change counts as noticed although it takes no processor time."""

PROFILE = settings(
    derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)
"""Hypothesis without the search for a simpler example, which takes most of the time of a test that fails."""


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
    settings.register_profile("mutation", PROFILE)
    loop = _Loop(path, until, tell)
    options = ["-o", "addopts=--import-mode=importlib", "-p", "no:terminal", "-p", "no:cacheprovider"]
    status = pytest.main([*options, *tests], plugins=[loop])
    if status or loop.broken:
        raise BrokenError(f"The tests fail with {path} as it is: run `pytest {' '.join(tests)}`.")
    return loop.findings


class _Loop:
    """A plug-in of pytest: runs the collected tests once for each change, in child processes."""

    def __init__(self, path: Path, until: float, tell: Callable[[Change], None]) -> None:
        self.findings = Findings()
        self.broken = False
        self._path, self._until, self._tell = path, until, tell
        self._seconds: list[float] = []
        """Processor time of each test without a change."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Called by pytest when the tests are collected."""
        if session.testsfailed:
            self.broken = True
            return True
        tree = ast.parse(self._path.read_text(encoding="utf-8"))
        self.broken = not self._passes(session, tree)
        if not self.broken:  # quick tests first
            pairs = sorted(zip(self._seconds, session.items, strict=True), key=lambda pair: pair[0])
            self._seconds, session.items = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        for site in () if self.broken else list(sites(tree)):
            for changed in changes(site):
                if time.monotonic() > self._until:
                    self.findings.left_out += 1
                    continue
                self.findings.tried += 1
                change = Change(site.function, describe(site, changed))
                site.put(changed)
                if self._passes(session, tree):
                    self.findings.survivors.append(change)
                    self._tell(change)
                site.put(site.node)
        return True

    def _passes(self, session: pytest.Session, tree: ast.Module) -> bool:
        """Whether the tests pass with the module as this tree has it. The first time, how long each takes."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._test(session, tree, writing)
        os.close(writing)
        handle = os.pidfd_open(child)
        ended, _, _ = select.select([handle], [], [], LONGEST)
        os.close(handle)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            if not self._seconds:
                self._seconds = [float(line) for line in pipe]
        return bool(ended) and os.waitstatus_to_exitcode(status) == 0

    def _test(self, session: pytest.Session, tree: ast.Module, writing: int) -> None:
        """The child process: run the tests until one fails, and say so by the exit status."""
        noticed = 1
        try:
            os.setsid()
            name = ".".join(self._path.relative_to(ROOT / "src").with_suffix("").parts)
            _change(sys.modules[name], tree, self._path)
            with os.fdopen(writing, "w") as pipe:
                noticed = int(not all(self._runs(session.items, pipe)))
        finally:  # whatever it was: a change that ends the tests is noticed
            os._exit(noticed)

    def _runs(self, items: Sequence[pytest.Item], pipe: TextIO) -> Iterator[bool]:
        """Whether each test passes. One that takes much longer than without a change ends the process."""
        for number, (item, following) in enumerate(zip(items, [*items[1:], None], strict=True)):
            began = time.process_time()
            if self._seconds:
                signal.setitimer(signal.ITIMER_PROF, LEAST + SLOWER * self._seconds[number])
            yield not any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))
            if not self._seconds:
                pipe.write(f"{time.process_time() - began}\n")


def _change(module: ModuleType, tree: ast.Module, path: Path) -> None:
    """Have the module's functions and constants as the tree has them, for all who have imported them."""
    fresh = {name: getattr(module, name) for name in ("__name__", "__package__", "__file__")}
    code = compile(ast.fix_missing_locations(tree), path, "exec")
    exec(code, fresh)  # noqa: S102 - the repository's own module
    for name, value in fresh.items():
        if not _transplant(module.__dict__.get(name), value, module.__name__):
            module.__dict__[name] = value


def _transplant(old: object, new: object, module: str) -> bool:
    """Put a function's code, or the code of a class's methods, into the one that others know."""
    if getattr(new, "__module__", module) != module:
        return False
    if isinstance(old, FunctionType) and isinstance(new, FunctionType):
        old.__code__, old.__defaults__, old.__kwdefaults__ = (
            new.__code__,
            new.__defaults__,
            new.__kwdefaults__,
        )
        return True
    if isinstance(old, property) and isinstance(new, property):
        return _transplant(old.fget, new.fget, module)
    if isinstance(old, type) and isinstance(new, type):
        for name, value in vars(new).items():
            _transplant(vars(old).get(name), value, module)
        return True
    return False
