"""Failures a person can act on, and the exit code each one ends a command with.

Every message says what happened, to what, and what to do next. None ever holds a parameter's value. The codes
are those of sysexits.h, because systemd names them so in the journal (status=78/CONFIG); it would call 3, 4
and 5 by names of init scripts that mean something else.
"""

from __future__ import annotations

OK = 0
FAILED = 1
"""Something on this machine failed: a file could not be written, a unit could not be started."""
USAGE = 2
"""The command line was wrong (argparse's own code)."""
NOT_READY = 69
"""The boot path has not written the environment yet, or failed to."""
DEFECT = 70
"""A mistake in airkiln itself."""
UNAVAILABLE = 75
"""A service could not be reached within the retries: trying again later may work."""
DENIED = 77
"""A no: by a service (access denied, nothing at the path), or by this machine (use sudo)."""
REFUSED = 78
"""The configuration was read and refused: a bad name or value, a weak secret, a missing parameter."""

EXIT_CODES_HELP = """exit codes:
  0   done
  1   failed on this machine (a file, a unit)
  2   usage
  69  the boot path has not loaded the environment yet
  70  a defect of airkiln: please report the line
  75  a service could not be reached; a later try may work
  77  a no: access denied, nothing at the path, or no rights here (use sudo)
  78  configuration refused (a name, a value, a weak secret, a missing parameter)
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

    exit_code = DENIED


class NotReadyError(AirkilnError):
    """The environment has not been loaded."""

    exit_code = NOT_READY
