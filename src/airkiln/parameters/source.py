"""The sources of parameters: the protocol, and the local file. Parameter Store is in `ssm`."""

from __future__ import annotations

import importlib
import stat
from pathlib import Path
from typing import Protocol

from airkiln.errors import DeniedError, RefusedError
from airkiln.parameters.rules import Parameter
from airkiln.systemd import envfile

LOCAL_FILE = Path("/etc/airkiln/parameters.env")
"""The parameters of a host without AWS."""


class Source(Protocol):
    """Where an environment's parameters are stored."""

    def read(self, environment: str, folders: tuple[str, ...]) -> list[Parameter]:
        """All parameters of `folders`, in the folders' order, so that for one name the last is in force.

        Raises UnavailableError after bounded retries, DeniedError when the answer is no, RefusedError for
        what can be read and not used.
        """


class FileSource:
    """A local file in systemd's EnvironmentFile grammar, for a host without AWS.

    It belongs to one host, so environment and folders do not matter: everything in it is in force.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, environment: str, folders: tuple[str, ...]) -> list[Parameter]:
        """See Source. Raises RefusedError for a file that anybody but its owner can read."""
        del environment, folders
        try:
            mode = self._path.stat().st_mode
            values = envfile.read(self._path)
        except FileNotFoundError:
            raise DeniedError(
                f"{self._path}: no such file: write the parameters to it as NAME=value lines, mode 0600"
            ) from None
        except OSError as error:
            raise DeniedError(f"{self._path}: cannot be read ({error.strerror}): run as root") from None
        if stat.S_IMODE(mode) & 0o077:
            raise RefusedError([f"{self._path}: others can read its secrets: chmod 0600 {self._path}"])
        return [Parameter(name, value, f"{self._path}: {name}") for name, value in values.items()]


def open_source(kind: str, file: Path, region: str | None) -> Source:
    """The source of a kind: "file" or "ssm". botocore is imported for the latter only: it takes 0.3 s.

    :param region: of Parameter Store; None leaves it to botocore.
    """
    if kind == "file":
        return FileSource(file)
    ssm = importlib.import_module("airkiln.parameters.ssm")
    source: Source = ssm.SsmSource(ssm.create_client(region))
    return source
