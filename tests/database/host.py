"""`airkiln` on a host that lies in a folder: python -m tests.database.host FOLDER ARGUMENT...

Everything is the product's but where it writes, what it kills, and whom it asks to start units.
"""

from __future__ import annotations

import os
import pwd
import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

from airkiln import cli
from airkiln.failover import commands, config, daemon
from airkiln.failover.control_groups import ControlGroups
from airkiln.failover.runtime import RuntimeDirectory
from airkiln.host.layout import Layout
from airkiln.systemd.systemctl import JobQueue


def main(folder: Path, arguments: list[str]) -> int:
    groups = ControlGroups(folder / "system.slice", folder / "proc")
    me = pwd.getpwuid(os.getuid())
    with (
        patch.object(pwd, "getpwnam", lambda _: me),
        patch.object(commands, "Layout", partial(Layout, folder)),
        patch.object(commands, "load", partial(config.load, folder / "failover.toml")),
        patch.object(commands, "RuntimeDirectory", lambda: RuntimeDirectory(folder / "run/airkiln-failover")),
        patch.object(commands, "ControlGroups", lambda: groups),
        patch.object(daemon, "Parts", partial(daemon.Parts, groups=groups, jobs=JobQueue(("true",)))),
    ):
        return cli.run(arguments)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
