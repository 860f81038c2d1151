"""Values of the inventory as Airflow reads them from its environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airkiln_deploy.errors import DeployError


def text(value: Any) -> str:  # noqa: ANN401 - YAML
    """A value as Airflow reads it: lists and mappings are JSON, truth is True or False.

    DeployError for a value that has no such form; its text holds no value.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple | Mapping):
        try:
            return json.dumps(value)
        except TypeError:
            raise DeployError(
                "holds something that JSON does not have, such as a date: write it in quotes"
            ) from None
    if value is None:
        raise DeployError("has no value: give it one, or leave it out")
    raise DeployError("is a date or another type of YAML: write it in quotes")
