"""`python -m rehearsal.aws.stub_agents [DIRECTORY]`: build the stub agents, print `sha256  path` for each."""

from __future__ import annotations

import sys
from pathlib import Path

from rehearsal.aws.stub_agents.build import build

DIRECTORY = Path("build/stub-agents")

for agent in build(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY):
    sys.stdout.write(f"{agent.sha256}  {agent.path}\n")
