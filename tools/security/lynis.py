"""Reads what Lynis found, and gives it the waivers.

Lynis writes two files: a report with the index, warnings and suggestions, and a log that names the points of
each test. The index is the points that were given, in per cent of those that could be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TARGET = 75
"""The least index of the image, with its waivers."""
_TEST = re.compile(r"Performing test ID (\S+)")
_ALL = re.compile(r"assigned maximum number of hardening points for this item \((\d+)\)")
_PART = re.compile(r"assigned partial number of hardening points \((\d+) of (\d+)\)")
_KERNEL = re.compile(r"field:(?P<name>[^;]+);prefval:(?P<wanted>[^;]*);value:(?P<found>[^;]*);")


@dataclass(frozen=True)
class Finding:
    """A warning or a suggestion: the test's id, and what it says."""

    test: str
    text: str


@dataclass(frozen=True)
class Result:
    """One audit."""

    index: int
    """Lynis' hardening index, 0 to 100."""
    points: int
    possible: int
    warnings: tuple[Finding, ...]
    suggestions: tuple[Finding, ...]
    lost: Mapping[str, int]
    """Points that a test could have given and did not, by its id."""
    kernel: Mapping[str, str]
    """Kernel settings that differ from Lynis' profile: the values it wants, separated by blanks."""

    def open(self) -> tuple[Finding, ...]:
        """Warnings and suggestions."""
        return self.warnings + self.suggestions


def parse(report: str, log: str) -> Result:
    """What an audit found.

    :param report: content of the report file.
    :param log: content of the log file.
    :raises ValueError: the audit has not ended: the report has no index.
    """
    values = [line.split("=", 1) for line in report.splitlines() if "=" in line and line[0] != "#"]
    indexes = [int(value) for name, value in values if name == "hardening_index"]
    if not indexes:
        raise ValueError("Lynis' report has no hardening_index: the audit has not ended.")

    def findings(kind: str) -> tuple[Finding, ...]:
        return tuple(Finding(*value.split("|")[:2]) for name, value in values if name == f"{kind}[]")

    points = _points(log)
    kernel = [
        found
        for name, value in values
        if name == "details[]" and value.startswith("KRNL-6000|") and (found := _KERNEL.search(value))
    ]
    return Result(
        index=indexes[-1],
        points=sum(got for got, _ in points.values()),
        possible=sum(most for _, most in points.values()),
        warnings=findings("warning"),
        suggestions=findings("suggestion"),
        lost={test: most - got for test, (got, most) in points.items() if got < most},
        kernel={found["name"]: found["wanted"].replace("|", " ") for found in kernel},
    )


def _points(log: str) -> dict[str, tuple[int, int]]:
    """Points given and possible, by test."""
    found: dict[str, tuple[int, int]] = {}
    test = ""
    for line in log.splitlines():
        if started := _TEST.search(line):
            test = started[1]
            continue
        if whole := _ALL.search(line):
            got = most = int(whole[1])
        elif part := _PART.search(line):
            got, most = int(part[1]), int(part[2])
        else:
            continue
        before = found.get(test, (0, 0))
        found[test] = (before[0] + got, before[1] + most)
    return found


def profile(waivers: Mapping[str, str]) -> str:
    """A profile for Lynis that leaves out the tests with a waiver."""
    return "".join(f"# {reason}\nskip-test={test}\n" for test, reason in waivers.items())


def unwaived(result: Result, waivers: Mapping[str, str]) -> list[Finding]:
    """What is open. Some of it comes from no test, so that a profile cannot leave it out."""
    return [finding for finding in result.open() if finding.test not in waivers]


def unused(waivers: Mapping[str, str], plain: Result) -> list[str]:
    """Waivers for tests that find nothing without them.

    :param plain: an audit without waivers. A waiver names a test, or a test and a detail after a colon.
    """
    said = {finding.test for finding in plain.open()} | set(plain.lost)
    return [test for test in waivers if test.partition(":")[0].upper() not in said]


def kernel_waivers(shared: Sequence[str]) -> dict[str, str]:
    """Waivers for the kernel settings that ``shared_with_the_host`` finds."""
    reason = "The image sets it, but a machine of the rehearsal has the host's kernel."
    return {f"KRNL-6000:{name}": reason for name in shared}


def with_points(result: Result, more: int) -> int:
    """The index if this many of the points that were lost had been given."""
    return (result.points + more) * 100 // result.possible


def kernel_settings(text: str) -> dict[str, str]:
    """The settings in what `systemd-sysctl --cat-config` prints; the last one of a name counts."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.lstrip("-").split("=", 1) for line in lines if "=" in line and line[0] not in "#;")
    return {name.strip().replace("/", "."): value.strip() for name, value in pairs}


def shared_with_the_host(plain: Result, written: Mapping[str, str]) -> list[str]:
    """Kernel settings that the image writes as Lynis wants them, but that this machine does not have.

    A machine of the rehearsal has no kernel of its own, so systemd cannot set them there.
    """
    return [name for name, wanted in plain.kernel.items() if written.get(name) in wanted.split()]
