"""Wall clocks that are wrong, or that jump, as some units of a host see them.

By libfaketime, which leaves the clocks alone that only run; the host's own clock is this machine's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rehearsal.chaos.faults.schedulers import DAG_PROCESSOR_UNIT
from rehearsal.deployment.cluster import CONTROLLER_UNIT, SCHEDULER_UNIT, Host
from rehearsal.errors import RehearsalError

LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
LEADER_UNITS = (CONTROLLER_UNIT, SCHEDULER_UNIT, DAG_PROCESSOR_UNIT, "airflow-triggerer.service")
STARTED_BY_LEADER = (DAG_PROCESSOR_UNIT,)
OFFSET = "/run/airkiln-rehearsal-clock"
"""The file that says how far a clock is off which jumps."""


@contextmanager
def skewed(host: Host, seconds: float) -> Iterator[None]:
    """The scheduler's and the controller's wall clock on this host is ahead by so much, or behind."""
    _faked(host, LEADER_UNITS, {"FAKETIME": f"{seconds:+g}s"})
    _restart(host)
    try:
        yield
    finally:
        for unit in LEADER_UNITS:
            host.machine.execute(["rm", "-f", _path(unit)])
        _restart(host)


def can_jump(host: Host, unit: str) -> None:
    """Start a unit anew with a clock that `jump` sets; RehearsalError if its process has the host's."""
    jump(host, 0)
    _faked(host, [unit], {"FAKETIME_TIMESTAMP_FILE": OFFSET, "FAKETIME_NO_CACHE": "1"})
    host.systemctl("daemon-reload")
    host.systemctl("restart", unit)
    if LIBFAKETIME not in Path(f"/proc/{host.main_process(unit)}/maps").read_text():
        raise RehearsalError(f"{unit} of {host.name} runs without {LIBFAKETIME}: its clock would not jump.")


def jump(host: Host, seconds: float) -> None:
    """Have the clock of the host's unit be ahead by so much from now on, or behind."""
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
