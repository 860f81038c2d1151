"""Failover controllers with other timings: limits of minutes, at the shortest that the rules allow."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import CONTROLLER_UNIT, SCHEDULER_UNIT, Host

PATH = "/etc/airkiln/failover.toml"


@contextmanager
def timed(cluster: Cluster, seconds: Mapping[str, float]) -> Iterator[None]:
    """Restart the controllers of all scheduler hosts with these timings, and at the end with their own.

    It does not wait until the cluster is ready again.

    :param seconds: by the key of failover.toml.
    """
    before = {
        host: host.machine.execute(["sh", "-c", f"cat {PATH} 2>/dev/null || true"]).stdout
        for host in cluster.schedulers
    }
    try:
        for host, text in before.items():
            _restart(host, dumped({**tomllib.loads(text), **seconds}))
        yield
    finally:
        for host, text in before.items():
            _restart(host, text)


def dumped(seconds: Mapping[str, float]) -> str:
    """The text of failover.toml with these values."""
    return "".join(f"{key} = {value}\n" for key, value in seconds.items())


def _restart(host: Host, text: str) -> None:
    host.machine.execute(["sh", "-c", f"cat > {PATH}"], text=text)
    host.systemctl("restart", CONTROLLER_UNIT, SCHEDULER_UNIT)
