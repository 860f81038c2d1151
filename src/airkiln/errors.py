"""Failures a person can act on, and the exit code each one ends a command with.

Every message says what happened, to what, and what to do next. None ever holds a parameter's value.
"""

from __future__ import annotations

OK = 0
FAILED = 1
"""Something on this machine failed: a file could not be written, a unit could not be started."""
USAGE = 2
"""The command line was wrong (argparse's own code)."""
REFUSED = 3
"""The configuration was read and refused: a bad name or value, a weak secret, a missing parameter."""
UNAVAILABLE = 4
"""A service could not be reached within the retries: trying again later may work."""
DENIED = 5
"""A service answered no: access denied, or nothing is stored at the path. Trying again changes nothing."""
NOT_PERMITTED = 6
"""The caller lacks rights on this machine: run it with sudo."""
NOT_READY = 7
"""The boot path has not written the environment yet, or failed to."""

EXIT_CODES_HELP = """exit codes:
  0  done
  1  failed on this machine (a file, a unit)
  2  usage
  3  configuration refused (a name, a value, a weak secret, a missing parameter)
  4  a service could not be reached; a later try may work
  5  a service said no (access denied, nothing at the path)
  6  not permitted here: use sudo
  7  the boot path has not loaded the environment yet
"""


class AirkilnError(Exception):
    """A failure with a sentence for the journal and an exit code for the unit."""

    exit_code = FAILED


class RefusedError(AirkilnError):
    """The configuration is readable and wrong. `problems` are complete sentences, one a line."""

    exit_code = REFUSED

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnavailableError(AirkilnError):
    """A service did not answer usably within the retries."""

    exit_code = UNAVAILABLE


class DeniedError(AirkilnError):
    """A service answered no."""

    exit_code = DENIED


class NotPermittedError(AirkilnError):
    """The caller may not do this on this machine."""

    exit_code = NOT_PERMITTED


class NotReadyError(AirkilnError):
    """The environment has not been loaded."""

    exit_code = NOT_READY
