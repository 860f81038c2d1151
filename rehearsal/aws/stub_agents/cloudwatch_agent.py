#!/usr/bin/python3
"""The stub of the CloudWatch agent: it refuses the configurations that the agent refuses, and sends nothing.

The checks are those of the agent's schema (translator/config/schema.json) and of its log exporter, whose
values for the retention are narrower than the schema's. Like the agent it then reads the journal from its
end, through journalctl. It runs with Debian's Python and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

CONFIGURATION = Path("/opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.json")
RETENTION = {
    *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288, 3653)
}
"""Values that the exporter of the journal takes. -1 is one of `files` alone."""
PRIORITIES = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", *map(str, range(8))}
ENTRY = {"log_group_name", "log_stream_name", "log_group_class", "retention_in_days", "filters"} | {
    *("units", "priority", "matches")
}
SECTIONS = {"agent", "metrics", "logs", "traces", "opentelemetry", "csm"}
GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
STREAM = re.compile(r"[^:*]{1,512}")
PLACEHOLDER = re.compile(r"\{(instance_id|hostname|local_hostname|ip_address|date)\}")


def refusals(document: Any) -> list[str]:  # noqa: ANN401 - whatever the file holds
    """Why the agent does not start with this configuration; nothing where it does."""
    if not isinstance(document, dict):
        return ["the configuration is not an object"]
    found = [f"{name}: no such section" for name in sorted(document.keys() - SECTIONS)]
    found += _metrics(document.get("metrics", {}))
    journald = document.get("logs", {}).get("logs_collected", {}).get("journald")
    if journald is None:
        return found
    entries = journald.get("collect_list")
    if not isinstance(entries, list) or not entries:
        return [*found, "journald: collect_list is missing or empty"]
    return found + [line for entry in entries for line in _journald(entry)]


def _metrics(metrics: dict[str, Any]) -> list[str]:
    namespace = metrics.get("namespace", "CWAgent")
    if not isinstance(namespace, str) or not 1 <= len(namespace) <= 255:
        return ["metrics: the namespace must have 1 to 255 characters"]
    return []


def _journald(entry: dict[str, Any]) -> list[str]:
    found = [f"journald: no such field: {name}" for name in sorted(entry.keys() - ENTRY)]
    group, stream = entry.get("log_group_name", ""), entry.get("log_stream_name", "{instance_id}")
    if not isinstance(group, str) or not GROUP.fullmatch(PLACEHOLDER.sub("x", group)):
        found.append("journald: log_group_name is not a valid name of a log group")
    if not isinstance(stream, str) or not STREAM.fullmatch(PLACEHOLDER.sub("x", stream)):
        found.append("journald: log_stream_name is not a valid name of a log stream")
    days = entry.get("retention_in_days", 0)
    if isinstance(days, bool) or not isinstance(days, int) or days not in RETENTION:
        found.append(f"journald: invalid value for retention policy: {days}")
    if entry.get("priority", "info") not in PRIORITIES:
        found.append(f"journald: no such priority: {entry['priority']}")
    return found


def main() -> None:
    """Check the configuration, then read the journal from its end until the unit is stopped."""
    try:
        document = json.loads(CONFIGURATION.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{CONFIGURATION}: {type(error).__name__}")
    found = refusals(document)
    if found:
        sys.exit("\n".join(found))
    if "journald" not in document.get("logs", {}).get("logs_collected", {}):
        os.execv("/usr/bin/sleep", ["sleep", "infinity"])  # noqa: S606 - the unit becomes it
    command = ["journalctl", "--utc", "--output=json", "--follow", "--lines=0", "--no-pager"]
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    os.execv("/usr/bin/journalctl", command)  # noqa: S606


if __name__ == "__main__":
    main()
