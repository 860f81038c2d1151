"""Runs OVHcloud's debian-cis, from a folder that holds a copy of it, and reads what it printed.

debian-cis is in no Debian archive. Level 1 is "failure to pass tests at this level indicates severe
misconfiguration" in its own words; each higher level adds checks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "DEBIAN_CIS"
"""Names the folder of a copy of https://github.com/ovh/debian-cis."""
LEVEL = 1
TARGET = 90.0
"""The least per cent of the checks that pass, without waivers."""
_CHECK = re.compile(r"^(OK|KO) (\S+)", re.MULTILINE)
_SUMMARY = re.compile(r"^AUDIT_SUMMARY PASSED_CHECKS:(\d+) RUN_CHECKS:(\d+) ", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """One audit."""

    passed: int
    run: int
    failed: tuple[str, ...]
    """Names of the checks that failed, with their numbers, as in `1.1.1.1_disable_freevxfs`."""

    @property
    def percent(self) -> float:
        """Checks that passed, in per cent of those that ran."""
        return 100 * self.passed / self.run


def script(folder: str) -> str:
    """The shell script that audits the machine it runs on.

    :param folder: the copy's path on that machine; its `etc/conf.d` is written.
    """
    variables = {"LIB": "lib", "CHECKS": "bin/hardening", "CONF": "etc", "TMP": "tmp", "VERSIONS": "versions"}
    exported = [f"export CIS_{name}_DIR={folder}/{part}" for name, part in variables.items()]
    run = f"bash {folder}/bin/hardening.sh --allow-unsupported-distribution"
    return "\n".join(
        [
            "set -eu",
            *exported,
            'mkdir -p "$CIS_CONF_DIR/conf.d" "$CIS_TMP_DIR"',
            f"{run} --create-config-files-only --set-log-level silent >/dev/null",
            f"{run} --set-hardening-level {LEVEL} >/dev/null",
            f"{run} --audit --batch",
        ]
    )


def parse(printed: str) -> Result:
    """What an audit found.

    :raises ValueError: no check ran.
    """
    summary = _SUMMARY.search(printed)
    if summary is None or summary[2] == "0":
        raise ValueError(f"debian-cis ran no check; it printed: {printed.strip()[-500:] or 'nothing'}")
    failed = tuple(name for state, name in _CHECK.findall(printed) if state == "KO")
    return Result(int(summary[1]), int(summary[2]), failed)


def unwaived(result: Result, waivers: Mapping[str, str]) -> list[str]:
    """Checks that failed and have no waiver."""
    return [name for name in result.failed if name not in waivers]
