"""The settings that the boot path loads, read again when they change: they apply from the next cycle on."""

from __future__ import annotations

from collections.abc import Mapping

from airkiln.autoscale.apply import Failures
from airkiln.errors import AirkilnError
from airkiln.host.environment import read_loaded, read_optional
from airkiln.host.layout import Layout
from airkiln.pools import settings as pools
from airkiln.pools.model import Pool
from airkiln.roles import EXECUTOR
from airkiln.systemd.journal import say


class Settings:
    """`pools` by name, and the `executors` of Airflow. Made of settings that are refused, it raises."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._stamp = self._look()
        self.pools: Mapping[str, Pool] = {}
        self.executors = ""
        self._read()

    def refresh(self, failures: Failures) -> None:
        """Read the file again if it was replaced. A refused setting is reported and changes nothing."""
        stamp = self._look()
        if stamp == self._stamp or stamp is None:
            return
        self._stamp = stamp
        before = self.pools
        try:
            self._read()
        except AirkilnError as error:
            reason = " ".join(str(error).split())
            failures.report("refused", f"{reason}: the pools stay as they were")
            return
        if self.pools != before:
            say(f"event=settings pools={','.join(self.pools)} reason=the parameters were loaded again")

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._layout.run_env.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _read(self) -> None:
        layout = self._layout
        variables = read_optional(layout.static_env) | read_loaded(layout.run_env)
        self.pools = pools.parse(variables)
        self.executors = variables.get(EXECUTOR, "")
