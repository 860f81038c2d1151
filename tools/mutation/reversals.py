"""Take each fix away, and name the tests that do not notice.

`python -m tools.mutation.reversals [WORD...]` reads the tables in fixes/ beside this file: for each fix, the
old text that comes back and the tests that must fail with it. A word chooses by a reversal's name or file.
What is changed is a copy of the tree below build/, so that the repository stays as it is whatever happens.
Reversals whose tests boot machines need --machines, which makes those of a folder together, as long as each
has a test of its own, and tests them in one run. Exits 1 if a test passes without its fix, 2 if one fails
with it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLES = Path(__file__).with_name("fixes")
MACHINES = ("tests/database/", "tests/failover/", "tests/rehearsal/", "tests/stacks/deployed/")
"""The folders of tests that boot machines or stacks. Most need root."""
INSTALLED = (".venv", "build/tools", "build/stacks", "build/rehearsal")
"""What the tests use and git does not have: the copy links to it."""
LONGEST = 60
"""Seconds of a test. One that boots no machine and hangs has failed: without its fix it may wait for ever."""
_FAILED = re.compile(r"^FAILED (?P<test>.+?)(?: - (?P<message>.*))?$", re.MULTILINE)


class BrokenError(Exception):
    """A reversal cannot be made, or a test fails with nothing reversed; the message names it."""


@dataclass(frozen=True)
class Reversal:
    """One fix that is taken away."""

    name: str
    """What happens without the fix."""
    file: str
    old: str
    """The fix, as short as it can be: once in the file. Whoever changes it there changes it here."""
    new: str
    tests: tuple[str, ...]
    """Files, tests, or single cases of a test. Of each, at least one case must fail."""

    @property
    def place(self) -> str:
        """The folder of its tests where they boot machines, otherwise empty."""
        return next((folder for folder in MACHINES if self.tests[0].startswith(folder)), "")

    def goes_with(self, other: Reversal) -> bool:
        """Whether both can be made at once: they boot the same machines and share no test."""
        return self.place == other.place and not set(self.tests) & set(other.tests)

    def reversed(self, text: str) -> str:
        """The file's text without the fix. Raises BrokenError if the fix is not there once."""
        if (count := text.count(self.old)) != 1:
            raise BrokenError(
                f"{self.name}: {self.file} has the text of the fix {count} times, not once: correct `old`"
            )
        return text.replace(self.old, self.new)


def table(folder: Path = TABLES) -> list[Reversal]:
    """Every reversal that the files of the folder list."""
    return [
        Reversal(**{**each, "tests": tuple(each["tests"])})
        for path in sorted(folder.glob("*.toml"))
        for each in tomllib.loads(path.read_text(encoding="utf-8"))["reversal"]
    ]


@contextmanager
def copied(source: Path) -> Iterator[Path]:
    """A copy below build/ of the files that git knows or would add. It is removed at the end."""
    build = source / "build"
    build.mkdir(exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        stdout=subprocess.PIPE,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="reversals-", dir=build) as folder:
        tree = Path(folder)
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (source / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, tree / name)
        for name in INSTALLED:
            if (source / name).exists():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).symlink_to(source / name)
        yield tree


def failures(tree: Path, tests: Sequence[str]) -> dict[str, str]:
    """The tests that fail in that tree, each with the first line of its message.

    Raises BrokenError if pytest cannot collect them or a fixture fails, because then some have not been run.
    """
    limit = [] if tests[0].startswith(MACHINES) else ["--timeout", str(LONGEST)]
    options = [*limit, "--quiet", "--tb=no", "-rfE", "--no-header", "-p", "no:cacheprovider"]
    own = {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "250"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *dict.fromkeys(tests)],
        cwd=tree,
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or re.search(r"^ERROR ", done.stdout, re.MULTILINE):
        raise BrokenError(f"pytest cannot run {' '.join(tests)}:\n{done.stdout}{done.stderr}")
    return {found["test"]: found["message"] or "" for found in _FAILED.finditer(done.stdout)}


def unnoticed(
    tree: Path, together: Sequence[Reversal]
) -> tuple[list[tuple[Reversal, str]], list[tuple[str, str]]]:
    """Make these reversals in the tree, run their tests and put the files back.

    Returns the tests that pass, each with the reversal that it should notice; and those that fail, each with
    its message.
    """
    before = {each.file: (tree / each.file).read_text(encoding="utf-8") for each in together}
    try:
        for each in together:
            path = tree / each.file
            path.write_text(each.reversed(path.read_text(encoding="utf-8")), encoding="utf-8")
        failed = failures(tree, [test for each in together for test in each.tests])
    finally:
        for name, text in before.items():
            (tree / name).write_text(text, encoding="utf-8")
    passed = [
        (each, test)
        for each in together
        for test in each.tests
        if not any(name == test or name.startswith((f"{test}[", f"{test}::")) for name in failed)
    ]
    return passed, sorted(failed.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the reversals one after the other; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutation.reversals", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="of a reversal's name or file; default: all")
    parser.add_argument(
        "--machines", action="store_true", help="those whose tests boot machines, and no others (root)"
    )
    given = parser.parse_args(arguments)
    chosen = [
        each
        for each in table()
        if bool(each.place) == given.machines
        and (not given.words or any(word in each.name or word in each.file for word in given.words))
    ]
    if not chosen:
        parser.error("no reversal matches")
    try:
        with copied(ROOT) as tree:
            lost = sum(_try(tree, together) for together in _groups(tree, chosen))
    except BrokenError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{len(chosen)} reversals, {lost} tests notice nothing\n")
    return 1 if lost else 0


def _groups(tree: Path, chosen: Sequence[Reversal]) -> list[list[Reversal]]:
    """What is made together. Raises BrokenError if a test fails with every fix there."""
    if broken := failures(tree, [test for each in chosen for test in each.tests]):
        raise BrokenError("\n".join(f"fails with its fix: {test}: {broken[test]}" for test in broken))
    groups: list[list[Reversal]] = []
    for each in chosen:
        beside = (group for group in groups if each.place and all(map(each.goes_with, group)))
        group = next(beside, None)
        if group is None:
            groups.append([each])
        else:
            group.append(each)
    return groups


def _try(tree: Path, together: Sequence[Reversal]) -> int:
    """Say what the tests say of these reversals; how many notice nothing."""
    passed, failed = unnoticed(tree, together)
    lines = [each.name for each in together]
    for test, cases in groupby(failed, key=lambda each: each[0].partition("[")[0]):
        (_, message), *others = cases
        lines.append(f"  red: {test}: {message}" + f" (and {len(others)} other cases)" * bool(others))
    lines += [f"  NOT NOTICED ({each.name}): {test}" for each, test in passed]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return len(passed)


if __name__ == "__main__":
    raise SystemExit(main())
