"""Write docs/emulation.md: what the emulated AWS reproduces, and which of moto's answers it corrects.

`python -m tools.emulation` writes; `--check` writes nothing and exits 1 when the document differs. The rows
come from the modules `behaviours` and `patches` of the packages below rehearsal/aws/services.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from rehearsal.aws.services.behaviours import Behaviour
from rehearsal.aws.services.patching import MOTO_VERSION, Patch

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ROOT / "rehearsal/aws/services"
DOCUMENT = ROOT / "docs/emulation.md"
NAMES = {
    "autoscaling": "Amazon EC2 Auto Scaling",
    "cloudformation": "AWS CloudFormation",
    "ec2": "Amazon EC2",
    "efs": "Amazon EFS",
    "elasticache": "Amazon ElastiCache",
    "elbv2": "Elastic Load Balancing",
    "rds": "Amazon RDS",
    "resolver": "The DNS server of a VPC",
    "route53": "Amazon Route 53",
    "s3": "Amazon S3",
    "servicequotas": "Service Quotas",
    "ssm": "AWS Systems Manager",
    "sts": "AWS STS",
}
"""Services by their packages; a package that is not here has its own name."""
HEAD = """\
# What the emulated AWS does

*For people who judge what the rehearsal proves. After reading you know which documented behaviour of AWS it
reproduces, and what is left out of it.*

`make docs` writes this document from what the packages in `rehearsal/aws/services` declare. A service that is
not here is moto's. [The rehearsal](architecture.md#the-rehearsal) describes the whole.
"""


def declared(service: str) -> tuple[Behaviour, ...]:
    """Return the behaviours that a package declares; none if it has no such module."""
    if not (SERVICES / service / "behaviours.py").exists():
        return ()
    found: tuple[Behaviour, ...] = importlib.import_module(
        f"rehearsal.aws.services.{service}.behaviours"
    ).BEHAVIOURS
    return found


def corrections(service: str) -> tuple[Patch, ...]:
    """Return the corrections of moto that a package declares; none if it has no such module."""
    if not (SERVICES / service / "patches.py").exists():
        return ()
    found: tuple[Patch, ...] = importlib.import_module(f"rehearsal.aws.services.{service}.patches").PATCHES
    return found


def services() -> list[str]:
    """Return the packages of services, by the services' names."""
    packages = (path.parent.name for path in SERVICES.glob("*/__init__.py"))
    return sorted(packages, key=title)


def title(service: str) -> str:
    """Return a service's name."""
    return NAMES.get(service, service)


def generated() -> str:
    """Return the document as it has to be."""
    parts = [HEAD]
    for service in services():
        if behaviours := declared(service):
            parts.append(f"## {title(service)}\n\n| behaviour | left out |\n|---|---|\n")
            parts[-1] += "".join(f"{_row(each)}\n" for each in behaviours)
    parts.append(
        "## Corrections of moto\n\n"
        f"What moto {MOTO_VERSION} does otherwise than AWS, and the emulation as AWS does.\n\n"
        "| service | correction |\n|---|---|\n"
    )
    for service in services():
        for problem in dict.fromkeys(each.problem for each in corrections(service)):
            parts[-1] += f"| {title(service)} | {_cell(problem)} |\n"
    return "\n".join(parts)


def _row(behaviour: Behaviour) -> str:
    left_out = _cell(behaviour.left_out) or "nothing known"
    return f"| {_cell(behaviour.what)} [Source]({behaviour.source}) | {left_out} |"


def _cell(text: str) -> str:
    """Return a text for a cell of a table: one line, in which no character is markup."""
    return "".join(f"\\{each}" if each in "|*_<>" else each for each in " ".join(text.split()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the document; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, exit 1 when the document differs"
    )
    check: bool = parser.parse_args(arguments).check
    wanted = generated()
    if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == wanted:
        return 0
    if check:
        sys.stderr.write(
            f"{DOCUMENT.relative_to(ROOT)} differs from what the packages declare. Run: make docs\n"
        )
        return 1
    DOCUMENT.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
