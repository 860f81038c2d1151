"""`python -m rehearsal.aws.stub_agents [DIRECTORY]`: build the agents, print `sha256  path` for each."""

from __future__ import annotations

import sys
from pathlib import Path

from rehearsal.aws.stub_agents.build import build

DIRECTORY = Path("build/standins")

for standin in build(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY):
    sys.stdout.write(f"{standin.sha256}  {standin.path}\n")
