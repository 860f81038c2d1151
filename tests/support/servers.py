"""The emulated AWS as a process on this host, without a region's network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import answers, free_port
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
STARTS_WITHIN = 600
"""Seconds for the server to answer.

It needs 3 s of a processor. While `make test` bakes an image, these tests get a fifteenth of one.
"""


@contextmanager
def cloudformation(log: Path) -> Iterator[str]:
    """The emulated AWS with its CloudFormation, until the block ends. Yields its URL.

    :param log: the file that its output goes to.
    """
    port = free_port()
    command = [sys.executable, "-m", "rehearsal.aws.services.cloudformation", "--port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)

    def ready() -> bool:
        assert server.poll() is None, f"the emulated AWS ended: {log.read_text()}"
        return answers(port)

    try:
        until(ready, log.read_text, STARTS_WITHIN)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
