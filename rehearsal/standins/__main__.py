"""`python -m rehearsal.standins [DIRECTORY]`: build the stand-ins, print a `sha256  path` line for each."""

from __future__ import annotations

import sys
from pathlib import Path

from rehearsal.standins.build import build

DIRECTORY = Path("build/standins")

for standin in build(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY):
    sys.stdout.write(f"{standin.sha256}  {standin.path}\n")
