"""The environment files of an instance: those of the image, and those that the boot path writes."""

from __future__ import annotations

from pathlib import Path

from airkiln.errors import NotPermittedError, NotReadyError
from airkiln.systemd import envfile


def read_optional(*paths: Path) -> dict[str, str]:
    """The variables of these files; a later file overrides an earlier one, and a missing one has none.

    Raises NotPermittedError where a file cannot be read.
    """
    found: dict[str, str] = {}
    for path in paths:
        try:
            found |= envfile.read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _not_permitted(path, error) from None
    return found


def read_loaded(*paths: Path) -> dict[str, str]:
    """The variables of files that the boot path writes; a later file overrides an earlier one.

    Raises NotReadyError before the boot path has written them, NotPermittedError where one cannot be read.
    """
    found: dict[str, str] = {}
    for path in paths:
        try:
            found |= envfile.read(path)
        except FileNotFoundError:
            raise NotReadyError(
                f"{path} is not there: this instance has no role, or its parameters are not loaded yet: "
                "look at `systemctl status airkiln-boot`"
            ) from None
        except OSError as error:
            raise _not_permitted(path, error) from None
    return found


def _not_permitted(path: Path, error: OSError) -> NotPermittedError:
    return NotPermittedError(f"{path}: cannot be read ({error.strerror}): use sudo")
