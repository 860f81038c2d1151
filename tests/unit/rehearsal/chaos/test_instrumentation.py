"""What an instrumented cluster's scheduler hosts are told when they boot."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from rehearsal.chaos.instrumentation import HOOK, Instrumentation


def test_cloud_init_writes_the_hook_and_has_the_schedulers_python_import_it(tmp_path: Path) -> None:
    kind, text = Instrumentation.scheduler_user_data.split("\n", 1)
    *commands, last = json.loads(text)["bootcmd"]
    for *run, path, content in commands:
        subprocess.run([*run, f"{tmp_path}{path}", content], check=True)
    (hook,) = tmp_path.rglob(HOOK.name)
    (drop_in,) = tmp_path.rglob("*.conf")
    assert hook.read_bytes() == HOOK.read_bytes()
    assert drop_in.parent.name == "airflow-scheduler.service.d"
    assert f"PYTHONPATH=/{hook.parent.relative_to(tmp_path)}\n" in drop_in.read_text(encoding="utf-8")
    assert (kind, last) == ("#cloud-config", ["systemctl", "daemon-reload"])
