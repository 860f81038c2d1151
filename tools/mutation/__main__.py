"""Change the pure modules one expression at a time, and name each change that no test notices.

`python -m tools.mutation [NAME...]` reads mutations.toml beside this file: the modules, the tests of each,
and the changes that may survive, each with its reason. It exits 1 if another change survives, if a listed one
no longer does, or if the time was not enough. It writes the numbers to build/mutations.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tools.mutation.run import ROOT, BrokenError, Change, Findings, run

SETTINGS = Path(__file__).with_name("mutations.toml")
RESULT = ROOT / "build/mutations.json"


def report(name: str, findings: Findings, listed: set[Change]) -> list[str]:
    """One line of numbers, then what the list has and the run has not."""
    new = set(findings.survivors) - listed
    gone = [] if findings.left_out else sorted(listed - set(findings.survivors), key=lambda each: each.text)
    lines = [f"{name}: {findings.tried} changes, {len(findings.survivors)} survive, {len(new)} not listed"]
    lines += [f"  listed and does not survive: {change.function}: {change.text}" for change in gone]
    if findings.left_out:
        lines.append(f"  {findings.left_out} changes not tried: give more --seconds, or fewer names")
    return lines


def say(*lines: str) -> None:
    """At once, also where the output is a file."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every change of the modules named; the exit status."""
    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))
    modules = {module["name"]: module for module in settings["module"]}
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(modules)}; default: all")
    parser.add_argument("--seconds", type=float, default=3600, help="for all of it; default: %(default)g")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in modules]:
        parser.error(f"there is no module {unknown[0]!r}; there are {', '.join(modules)}")
    os.environ |= settings["environment"]
    until, differs, results = time.monotonic() + given.seconds, False, {}
    for name in given.names or modules:
        module = modules[name]
        listed = {
            Change(each["function"], text) for each in module.get("survivors", ()) for text in each["changes"]
        }

        def tell(change: Change, name: str = name, listed: set[Change] = listed) -> None:
            if change not in listed:
                say(f"{name}: survives: {change.function}: {change.text}")

        try:
            findings = run(ROOT / module["path"], module["tests"], until, tell)
        except BrokenError as error:
            sys.stderr.write(f"{error}\n")
            return 2
        lines = report(name, findings, listed)
        say(*lines)
        differs |= len(lines) > 1 or not listed.issuperset(findings.survivors)
        results[name] = {"changes": findings.tried, "survivors": len(findings.survivors)}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 1 if differs else 0


if __name__ == "__main__":
    raise SystemExit(main())
