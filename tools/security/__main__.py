"""Examine the security of the image of this tree: `make security`.

Bakes the image unless the rehearsal `security` has it, boots an instance of it that has no role, and prints

- the exposure of each service, as `systemd-analyze security` finds it;
- the result of Lynis from Debian's archive, without and with the waivers of tools/security/waivers.yaml;
- the result of debian-cis, where DEBIAN_CIS names the folder of a copy;
- what is open: what misses its target, warnings, and waivers that waive nothing.

The exit status is 1 if something is open. The instance and the rehearsal are removed; the image stays.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks import rehearsed
from rehearsal.aws.instances import launch_instance
from rehearsal.deployment.image import baked_image
from rehearsal.deployment.instances import STARTED
from rehearsal.linux.machine import Machine
from rehearsal.progress import Stages
from rehearsal.region import Region
from tools.security import cis, examine, lynis
from tools.security.report import Findings, open_points, text

WAIVERS = Path(__file__).with_name("waivers.yaml")


def waivers() -> dict[str, dict[str, str]]:
    """The reason of each waiver, by tool and test."""
    return dict(yaml.safe_load(WAIVERS.read_text(encoding="utf-8")))


def examined(region: Region, machine: Machine, image: str) -> Findings:
    """What the tools find on a booted machine of the image."""
    machine.wait_until_booted(STARTED)
    waived = waivers()
    scores = examine.scores(machine)
    copy = os.environ.get(cis.VARIABLE)
    version = examine.install_lynis(region, machine)
    plain = examine.run_lynis(machine, "plain", {})
    shared = lynis.shared_with_the_host(plain, examine.written_kernel_settings(machine))
    waived["lynis"] |= lynis.kernel_waivers(shared)
    return Findings(
        image=image,
        waivers=waived,
        scores=scores,
        lynis_version=version,
        plain=plain,
        waived=examine.run_lynis(machine, "waived", waived["lynis"]),
        shared=shared,
        cis=examine.run_cis(machine, Path(copy)) if copy else None,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.security", description="Examine the image.")
    parser.add_argument("--keep", action="store_true", help="leave the rehearsal running")
    asked = parser.parse_args(arguments)
    with rehearsed.region(keep=asked.keep, name="security", command="security") as region:
        image = baked_image(region, Stages(1, sys.stdout))
        name, _ = launch_instance(region, image, {"Name": "security"})
        with rehearsed.instance(region, name) as machine:
            findings = examined(region, machine, image)
    rehearsed.say(text(findings))
    return 1 if open_points(findings) else 0


if __name__ == "__main__":
    sys.exit(main())
