"""``python -m rehearsal logs``: the journals of several hosts as one, each line with its host's name.

Of an instance it shows the units of Airkiln and Airflow; of the database's server, PostgreSQL's own log.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from heapq import merge
from typing import TextIO

from rehearsal.commands.hosts import SERVER_ROLE, Host, chosen, running
from rehearsal.linux.machine import Machine
from rehearsal.region import Region

LINES = 50
"""How many lines of each host are shown of what was before."""
BEGIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*")
"""The time at which an entry begins; a line without one belongs to the entry before it."""
SERVER_LOG = "/var/log/postgresql/postgresql-17-main.log"

Entry = tuple[str, str]
"""Time and text of an entry of a journal."""


def logs(
    region: Region, word: str, *, lines: int = LINES, follow: bool | None = None, out: TextIO = sys.stdout
) -> int:
    """Print the end of the journals of the hosts that a word names; all hosts if it is empty.

    :param lines: of each host.
    :param follow: go on until Ctrl-C; by default if the output is a terminal.
    """
    hosts = running(region)
    wanted = chosen(hosts, word) if word else hosts
    if out.isatty() if follow is None else follow:
        _follow(region, wanted, lines, out)
        return 0
    journals = [entries(_read(region, host, lines).splitlines(), host) for host in wanted]
    for _, text in merge(*journals, key=lambda entry: entry[0]):
        out.write(text)
    return 0


def command(host: Host, lines: int, *more: str) -> list[str]:
    """The command that shows a host's log.

    :param more: ``--follow`` for what comes, too.
    """
    if host.role == SERVER_ROLE and not host.name.startswith("i-"):
        return ["tail", f"--lines={lines}", *more, SERVER_LOG]
    units = ["--unit=airkiln-*", "--unit=airflow-*"]
    form = ["--output=short-iso-precise", "--utc", "--no-hostname"]
    return ["journalctl", "--no-pager", "--quiet", f"--lines={lines}", *form, *units, *more]


def entries(lines: Iterable[str], host: Host) -> list[Entry]:
    """The entries of a journal with their times, each line behind the name of its host.

    Lines before the first entry, which belong to one that is not shown, are left out.
    """
    found: list[Entry] = []
    for line in lines:
        if began := BEGIN.match(line):
            found.append((began[0].replace(" ", "T"), _line(host, line)))
        elif found:
            time, text = found[-1]
            found[-1] = (time, text + _line(host, line))
    return found


def _line(host: Host, line: str) -> str:
    return f"{host.name} {line}\n"


def _read(region: Region, host: Host, lines: int) -> str:
    machine = Machine(region, host.name)
    return machine.execute(command(host, lines), check=False).stdout


def _follow(region: Region, hosts: Sequence[Host], lines: int, out: TextIO) -> None:
    lock = threading.Lock()

    def copy(host: Host, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            with lock:
                out.write(_line(host, line.rstrip("\n")))
                out.flush()

    started = {
        host: subprocess.Popen(
            Machine(region, host.name).inside(*command(host, lines, "--follow")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        for host in hosts
    }
    threads = [threading.Thread(target=copy, args=item, daemon=True) for item in started.items()]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        out.write("\n")
    finally:
        for process in started.values():
            process.kill()
