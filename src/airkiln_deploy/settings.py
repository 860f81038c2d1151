"""What the boot of an instance would refuse in the inventory's settings of Airflow, before it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airkiln.parameters import rules
from airkiln.parameters.rules import Parameter
from airkiln_deploy.errors import DeployError
from airkiln_deploy.parameter_store import KINDS, REFERENCE
from airkiln_deploy.yaml_values import text

_OCTAL = ("_PERMISSIONS", "_UMASK")
"""What the names of Airflow's octal settings end with."""


def problems(*given: Mapping[str, Any]) -> list[str]:
    """What an instance would refuse at boot, or Airflow read as something else: sentences without values.

    :param given: airkiln_settings and airkiln_secret_settings, values by folder and name.
    """
    return [sentence for settings in given for sentence in _problems(settings)]


def _problems(settings: Mapping[str, Any]) -> Iterator[str]:
    parameters = []
    for folder, values in settings.items():
        for name, value in (values or {}).items():
            origin = f"{folder}/{name}"
            if str(name).endswith(_OCTAL) and isinstance(value, int):
                yield (
                    f"{origin} is a number, and YAML has turned an octal one into a decimal one: write it in "
                    'quotes, such as "0o022".'
                )
                continue
            try:
                written = REFERENCE.sub(lambda _: KINDS["password"](), text(value))
            except DeployError as error:
                yield f"{origin} {error}."
                continue
            if not written:
                yield f"{origin} is empty, which Parameter Store does not take: leave it out."
                continue
            parameters.append(Parameter(str(name), written, origin))
    yield from (f"{problem}." for problem in rules.check(parameters, None, {}))
