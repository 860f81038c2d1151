"""What the boot of an instance would refuse in the inventory's settings of Airflow, before it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airkiln import numbers, roles
from airkiln.parameters import rules
from airkiln.parameters.rules import Parameter
from airkiln.roles import COMMON
from airkiln_deploy import agreement
from airkiln_deploy.errors import DeployError
from airkiln_deploy.parameter_store import KINDS, REFERENCE
from airkiln_deploy.yaml_values import text

_OCTAL = ("_PERMISSIONS", "_UMASK")
"""What the names of Airflow's octal settings end with."""


DEPLOYED = tuple(role for role in roles.ROLES.values() if role.name != "all")
"""The roles of an environment's instances."""
FOLDERS = tuple(dict.fromkeys(folder for role in DEPLOYED for folder in role.folders))
"""What they read, the common folder first."""

PORTS: Mapping[str, tuple[str, ...]] = {
    "AIRFLOW__API__PORT": ("8080",),
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": ("8794",),
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": ("8793",),
    "AIRKILN_WEB_PUBLIC_PORT": ("8081", "0"),
}
"""The ports at which load balancers and security groups of the stacks reach instances; 0 for none."""


def in_force(
    derived: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Mapping[str, Any] | None],
    secret_settings: Mapping[str, Mapping[str, Any] | None],
) -> dict[str, dict[str, Any]]:
    """What is written, secret settings apart: the deployment's own parameters with the settings over them.

    A setting in the common folder overrides what the deployment derives for a role as well: an instance reads
    its role's folder last, and would find that instead.
    """
    given = {*(settings.get(COMMON) or {}), *(secret_settings.get(COMMON) or {})}
    kept = {
        folder: {name: value for name, value in values.items() if folder == COMMON or name not in given}
        for folder, values in derived.items()
    }
    for folder, values in settings.items():
        kept.setdefault(folder, {}).update((values or {}).items())
    return kept


def problems(*given: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> list[str]:
    """What an instance would refuse at boot, or Airflow read as something else: sentences without values.

    :param given: values by folder and name; of two, the later one is in force. The deployment's own, then
        airkiln_settings and airkiln_secret_settings.
    :param secrets: the kinds of the secrets that the deployment draws, by folder and name.
    """
    found: list[str] = []
    as_written: dict[str, dict[str, str]] = {folder: {} for folder in FOLDERS}
    by_folder: dict[str, list[Parameter]] = {folder: [] for folder in FOLDERS}
    for path, kind in (secrets or {}).items():
        folder, _, name = path.partition("/")
        if folder in by_folder:
            by_folder[folder].append(Parameter(name, KINDS[kind](), path))
    for settings in given:
        for folder, values in settings.items():
            if folder not in by_folder:
                found.append(
                    f"{folder}: no instance reads a folder of this name: write one of {', '.join(FOLDERS)}."
                )
                continue
            found += _collect(folder, values or {}, by_folder[folder], as_written[folder])
    for role in DEPLOYED:
        read = [parameter for folder in role.folders for parameter in by_folder[folder]]
        found += [f"{problem}." for problem in rules.contradictions(read, role, {})]
    found += [f"{problem}." for problem in agreement.problems(as_written)]
    return list(dict.fromkeys(found))


def _collect(
    folder: str, values: Mapping[str, Any], into: list[Parameter], as_written: dict[str, str]
) -> Iterator[str]:
    """Add the parameters with drawn secrets, and as they are written; say what cannot be one."""
    for name, value in values.items():
        origin = f"{folder}/{name}"
        if str(name).endswith(_OCTAL) and isinstance(value, int):
            yield (
                f"{origin} is a number, and YAML has turned an octal one into a decimal one: write it in "
                'quotes, such as "0o022".'
            )
            continue
        try:
            given = text(value)
        except DeployError as error:
            yield f"{origin} {error}."
            continue
        if not given:
            yield f"{origin} is empty, which Parameter Store does not take: leave it out."
            continue
        if given not in PORTS.get(str(name), (given,)) and numbers.reason(str(name), given) is None:
            yield (
                f"{origin}: the stacks reach port {PORTS[name][0]} alone (cloudformation/firewall.yaml): "
                "remove the setting."
            )
        as_written[str(name)] = given
        into.append(Parameter(str(name), REFERENCE.sub(lambda _: KINDS["password"](), given), origin))
