"""Failures that a person can act on, and the exit codes of the `airkiln` command.

Every message says what happened, to what, and what to do next. None holds the value of a parameter. The codes
are those of sysexits.h, because systemd shows their names in the journal (status=78/CONFIG). It has other
names for 3, 4 and 5, from init scripts.
"""

from __future__ import annotations

OK = 0
FAILED = 1
"""Something on this machine failed: a file could not be written, a unit could not be started."""
USAGE = 2
"""The command line is wrong (argparse's own code)."""
NOT_READY = 69
"""The boot path has not loaded the environment yet, or has failed to."""
DEFECT = 70
"""A defect of airkiln itself."""
UNAVAILABLE = 75
"""A service could not be reached within the retries; a later attempt may succeed."""
DENIED = 77
"""Denied by a service (access denied, nothing at the path), or by this machine (use sudo)."""
REFUSED = 78
"""The configuration is refused: a bad name or value, a weak secret, a missing parameter."""

EXIT_CODES_HELP = """exit codes:
  0   done
  1   failed on this machine (a file, a unit)
  2   usage
  69  the boot path has not loaded the environment yet
  70  a defect of airkiln: please report the line
  75  a service could not be reached; a later attempt may succeed
  77  denied: by a service, nothing at the path, or no rights on this machine (use sudo)
  78  configuration refused (a name, a value, a weak secret, a missing parameter)
"""


class AirkilnError(Exception):
    """A failure, with a message for the journal and an exit code for the unit."""

    exit_code = FAILED


class RefusedError(AirkilnError):
    """The configuration can be read and is wrong. `problems` are complete sentences, one on each line."""

    exit_code = REFUSED

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnavailableError(AirkilnError):
    """A service could not be reached, or did not respond usably, within the retries."""

    exit_code = UNAVAILABLE


class DeniedError(AirkilnError):
    """A service denies access, or does not have what was requested."""

    exit_code = DENIED


class NotPermittedError(AirkilnError):
    """The user of the command may not do this on this machine."""

    exit_code = DENIED


class NotReadyError(AirkilnError):
    """The environment has not been loaded."""

    exit_code = NOT_READY
