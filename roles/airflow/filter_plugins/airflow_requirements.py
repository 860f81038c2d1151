"""The filter of the role. What it does is in src/airkiln_deploy, where it is tested."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCES = str(Path(__file__).resolve().parents[3] / "src")
if SOURCES not in sys.path:  # it is there already in .venv, where this repository is installed
    sys.path.append(SOURCES)

from airkiln_deploy import requirements  # noqa: E402 - needs the path above


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"airflow_requirement_problems": requirements.problems}
