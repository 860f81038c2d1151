"""A team's own Python requirements, compared with the lock of Airflow before anything is installed."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def problems(requirements: Iterable[str], lock: str) -> list[str]:
    """Why the requirements cannot be installed beside the lock, in sentences with package and versions.

    Compares the requirements themselves. Contradictions of their own dependencies are found by uv, which
    installs them with the lock as constraints.

    :param requirements: lines as pip takes them, such as "acme-operators==1.4.2".
    :param lock: text of the lock file, "name==version" at the beginning of a line.
    """
    locked = _versions(lock)
    found = []
    for line in requirements:
        try:
            wanted = Requirement(line)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            found.append(f"{line!r} is not a requirement ({reason}): give one such as acme-operators==1.4.2.")
            continue
        version = locked.get(canonicalize_name(wanted.name))
        if version is None:
            continue
        held = f"Airflow's lock holds {wanted.name}=={version}"
        if wanted.url:
            found.append(f"{wanted.name} is given by URL, and {held}: leave {wanted.name} out.")
        elif not wanted.specifier.contains(version, prereleases=True):
            found.append(
                f"{wanted.name}{wanted.specifier} is asked for, and {held}: allow {version}, or leave "
                f"{wanted.name} out."
            )
    return found


def _versions(lock: str) -> dict[str, str]:
    """The version of each package by its normalised name."""
    pins = (
        line.split(" ")[0].split(";")[0] for line in lock.splitlines() if "==" in line and line[0].isalnum()
    )
    return {canonicalize_name(name): version for name, _, version in (pin.partition("==") for pin in pins)}
