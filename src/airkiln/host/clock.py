"""The clock that the daemons decide by."""

from __future__ import annotations

import time


def boottime() -> float:
    """Seconds since the machine started (CLOCK_BOOTTIME).

    The clock runs on while the machine is suspended, and setting the time of day does not move it.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
