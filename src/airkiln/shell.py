"""`airkiln airflow ...`: an Airflow command with the instance's environment, as the service user.

What the units get from systemd this reads from the same three files, in the same order, by the same grammar;
then it becomes the service user and Airflow's own command, without a process in between.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping, Sequence

from airkiln.errors import AirkilnError, NotPermittedError
from airkiln.host.environment import read_loaded, read_optional
from airkiln.host.layout import SERVICE_USER, Layout

_KEPT = ("TERM", "LANG", "LC_ALL", "COLUMNS", "LINES", "NO_COLOR", "TZ")
"""Of the caller's environment: how to write to the terminal, nothing more."""

_PATH = "/opt/airflow/bin:/usr/local/bin:/usr/bin:/bin"
SUDO = "/usr/bin/sudo"


def run(arguments: Sequence[str], layout: Layout | None = None) -> None:
    """Become `airflow ARGUMENTS`; returns only by raising AirkilnError."""
    layout = layout or Layout()
    if os.geteuid() != 0:
        _through_sudo(arguments)
    environment = build_environment(layout, os.environ)
    _drop_to(SERVICE_USER)
    try:
        os.chdir(layout.airflow_home)
        os.execve(layout.airflow_bin, ["airflow", *arguments], environment)  # noqa: S606 - no shell is meant
    except OSError as error:
        raise AirkilnError(
            f"{layout.airflow_bin}: cannot be run as {SERVICE_USER} ({error.strerror}): "
            "is Airflow installed here?"
        ) from None


def build_environment(layout: Layout, caller: Mapping[str, str]) -> dict[str, str]:
    """The environment that Airflow's units have. NotReadyError before the boot path has loaded it."""
    loaded = read_loaded(layout.run_env)
    home = str(layout.airflow_home)
    return {
        **{name: caller[name] for name in _KEPT if name in caller},
        "PATH": _PATH,
        "HOME": home,
        "AIRFLOW_HOME": home,
        "USER": SERVICE_USER,
        "LOGNAME": SERVICE_USER,
        **read_optional(layout.aws_env, layout.static_env),
        **loaded,
    }


def _through_sudo(arguments: Sequence[str]) -> None:
    """Start again as root. `sudo -n` never prompts. Where it refuses, message and exit code are its own."""
    command = [SUDO, "-n", "--", "/usr/local/bin/airkiln", "airflow", *arguments]
    if not os.access(SUDO, os.X_OK):
        raise NotPermittedError("an Airflow command reads the instance's secrets: run it as root, with sudo")
    if not _may_sudo():
        raise NotPermittedError(
            "an Airflow command reads the instance's secrets, and this user may not use sudo without a "
            "password: ask for an account that may, or run `sudo airflow ...`"
        )
    sys.stdout.flush()
    os.execv(SUDO, command)  # noqa: S606 - no shell is meant


def _may_sudo() -> bool:
    """Whether sudo lets this user through without a question."""
    child = os.posix_spawn(
        SUDO,
        [SUDO, "-n", "true"],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)],
    )
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _drop_to(user: str) -> None:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise AirkilnError(
            f"the user {user!r} does not exist on this machine: apply the airflow role first"
        ) from None
    try:
        os.setgroups(os.getgrouplist(user, entry.pw_gid))
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        raise NotPermittedError(
            f"cannot become {user} ({error.strerror}): run it as root, with sudo"
        ) from None
