"""The process of a unit: a component of Airflow whose environment and memory no other process reads.

``python -P -m airkiln_airflow.component ARGUMENTS`` becomes ``airflow ARGUMENTS``. All processes of a unit
run as the same user, and a worker's tasks, the triggers of a triggerer and the DAG files of a DAG processor
are code of other people. Linux lets a process read another one of its user in /proc unless that one is not
dumpable (PR_SET_DUMPABLE in prctl(2)). A child inherits that, so it is settled before the first one is
forked; a program that is started, such as a Bash task's, begins dumpable again. Airflow 3.3.2 does the same
for a task and its supervisor alone (``_make_process_nondumpable``), and not for what forks them.

The process's own /proc/self/environ is root's too, so that no symbolic link among the logs leads there.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pkgutil import resolve_name

_PR_SET_DUMPABLE = 4  # <linux/prctl.h>


def shield() -> None:
    """Keep other processes of the same user out of this one and of those that it forks.

    :raises OSError: the kernel refuses it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_DUMPABLE): {os.strerror(code)}")


def become(arguments: Sequence[str]) -> None:
    """Run ``airflow ARGUMENTS`` in this process, without a new program, which would be dumpable again."""
    shield()
    sys.argv[:] = ["airflow", *arguments]
    resolve_name("airflow.__main__:main")()


if __name__ == "__mp_main__":  # a process of the web server's, where it has several
    shield()
if __name__ == "__main__":
    become(sys.argv[1:])
