"""Write the table of variables into the README of every role, from its argument specs.

`python -m tools.role_docs` writes; `--check` writes nothing, names each README that differs and exits 1.
The table itself is made by aar-doc, after tools/role_readme.md.j2.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
ROLES = ROOT / "roles"
_BEGIN = "<!-- BEGIN_ANSIBLE_DOCS -->\n"
_END = "<!-- END_ANSIBLE_DOCS -->\n"


class RoleDocsError(Exception):
    """A README could not be made; the message names the role and the reason."""


def roles() -> list[Path]:
    """Every role that describes its arguments."""
    return sorted(path.parent.parent for path in ROLES.glob("*/meta/argument_specs.yml"))


def current(role: Path) -> str:
    """The README as it is, or one with the role's name, its description and room for the table."""
    readme = role / "README.md"
    if readme.exists():
        return readme.read_text(encoding="utf-8")
    galaxy = yaml.safe_load((role / "meta/main.yml").read_text(encoding="utf-8"))["galaxy_info"]
    return f"# Role `{role.name}`\n\n{galaxy['description']}\n\n{_BEGIN}{_END}"


def generated(role: Path) -> str:
    """The README as it has to be. Raises RoleDocsError when aar-doc refuses."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "README.md"
        output.write_text(current(role), encoding="utf-8")
        command = [
            str(Path(sys.executable).parent / "aar-doc"),
            "--output-file",
            str(output),
            str(role),
            "markdown",
        ]
        finished = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if finished.returncode != 0:
            said = (finished.stdout + finished.stderr).strip()
            raise RoleDocsError(f"aar-doc made no table for the role {role.name}: {said}")
        return output.read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check every README; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when a README differs")
    check: bool = parser.parse_args(arguments).check
    stale = []
    for role in roles():
        readme = role / "README.md"
        wanted = generated(role)
        if readme.exists() and readme.read_text(encoding="utf-8") == wanted:
            continue
        stale.append(role.name)
        if not check:
            readme.write_text(wanted, encoding="utf-8")
    if stale and check:
        sys.stderr.write(
            f"These roles' READMEs differ from their argument specs: {', '.join(stale)}. "
            "Run: uv run --frozen python -m tools.role_docs\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
