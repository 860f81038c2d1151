"""Wall clocks that are wrong, or that jump, for some units of a host.

libfaketime changes what they read; monotonic clocks stay as they are, and so does the real host's clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rehearsal.deployment.host import (
    CONTROLLER_UNIT,
    DAG_PROCESSOR_UNIT,
    SCHEDULER_UNIT,
    TRIGGERER_UNIT,
    Host,
)
from rehearsal.errors import RehearsalError

LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
LEADER_UNITS = (CONTROLLER_UNIT, SCHEDULER_UNIT, DAG_PROCESSOR_UNIT, TRIGGERER_UNIT)
STARTED_BY_LEADER = (DAG_PROCESSOR_UNIT,)
OFFSET = "/run/airkiln-rehearsal-clock"
"""The file that holds the offset of an adjustable clock."""


@contextmanager
def skewed(host: Host, seconds: float) -> Iterator[None]:
    """The wall clock of the host's scheduler, controller and their companions is wrong.

    :param seconds: how far ahead; negative if behind.
    """
    _faked(host, LEADER_UNITS, {"FAKETIME": f"{seconds:+g}s"})
    _restart(host)
    try:
        yield
    finally:
        heal(host)


def heal(host: Host) -> None:
    """Give the host its own clock again; no effect where it has it."""
    paths = [_path(unit) for unit in LEADER_UNITS]
    if host.machine.execute(["ls", *paths], check=False).stdout:
        host.machine.execute(["rm", "-f", *paths])
        _restart(host)


def make_adjustable(host: Host, unit: str) -> None:
    """Restart a unit with a wall clock that `set_clock` sets. RehearsalError if that did not work."""
    set_clock(host, 0)
    _faked(host, [unit], {"FAKETIME_TIMESTAMP_FILE": OFFSET, "FAKETIME_NO_CACHE": "1"})
    host.systemctl("daemon-reload")
    host.systemctl("restart", unit)
    if LIBFAKETIME not in Path(f"/proc/{host.main_process(unit)}/maps").read_text():
        raise RehearsalError(f"{unit} of {host.name} runs without {LIBFAKETIME}: its clock cannot be set.")


def set_clock(host: Host, seconds: float) -> None:
    """Set how many seconds the adjustable clock of a host is ahead; negative if behind."""
    host.machine.execute(["sh", "-c", f"cat > {OFFSET}"], text=f"{seconds:+g}\n")


def _faked(host: Host, units: Sequence[str], settings: Mapping[str, str]) -> None:
    install = "test -e {0} || {{ apt-get -qq update && apt-get -qq install -y libfaketime >/dev/null; }}"
    host.machine.execute(["sh", "-c", install.format(LIBFAKETIME)], timeout=180)
    settings = {"LD_PRELOAD": LIBFAKETIME, "FAKETIME_DONT_FAKE_MONOTONIC": "1"} | dict(settings)
    lines = ["[Service]", *(f"Environment={name}={value}" for name, value in settings.items())]
    for unit in units:
        path = _path(unit)
        write = f"mkdir -p {path.rpartition('/')[0]} && cat > {path}"
        host.machine.execute(["sh", "-c", write], text="\n".join(lines) + "\n")


def _restart(host: Host) -> None:
    host.systemctl("daemon-reload")
    host.systemctl("restart", *(unit for unit in LEADER_UNITS if unit not in STARTED_BY_LEADER))


def _path(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d/90-clock.conf"
