"""`airkiln early-journal`: sends the part of the journal that the CloudWatch agent does not send.

The agent's receiver starts at the end of the journal, so the lines of the boot that precede it never arrive.
This program waits until the agent reads, and sends what the journal holds by then, in the agent's form, to
the stream that the agent writes to. Lines of the seconds in which both read arrive twice; none is lost. It
runs once in the life of an instance: after a reboot the agent continues where it stopped.
https://github.com/aws/amazon-cloudwatch-agent/tree/main/translator/translate/otel/receiver/journald
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airkiln.aws.clients import CallTimeouts, create_client, describe_error, error_code, errors, open_session
from airkiln.errors import AirkilnError
from airkiln.host import files
from airkiln.host.daemon import Stop
from airkiln.host.layout import Layout
from airkiln.host.metadata import Imds, NoImdsError, made_by_amazon
from airkiln.host.processes import PROC
from airkiln.systemd.journal import NOTICE, WARNING, RateLimit, say

AGENT = "amazon-cloudwatch-agent.service"
CONTROL_GROUP = Path("/sys/fs/cgroup/system.slice") / AGENT
READER = "journalctl"
"""The agent reads the journal through a child process of this name."""
READER_LIMIT = 120.0
"""Seconds to wait for the reader. After that the journal is sent although no agent reads it."""
OVERLAP = 1.0
"""Seconds between the start of the reader and the end of what is sent here."""
RETRY_EVERY = 10.0
"""Seconds between two attempts. They do not end: a log group or a route may appear later."""
LINES = 20_000
"""Newest lines that are sent at most; a boot writes fewer than 5,000."""
SINCE = "-24h"
"""A batch may span 24 hours."""
BATCH_BYTES, EVENT_BYTES, BATCH_EVENTS = 1_048_576, 26, 10_000
"""Limits of one call: bytes, bytes counted for each event beside its text, events:
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html"""
LONGEST_EVENT = 256 * 1024 - EVENT_BYTES
"""Bytes of one event that every region accepts."""
JOURNALCTL_TIMEOUT = 60

Event = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """What the agent's configuration says of the journal."""

    group: str
    stream: str
    priority: str


class Machine(Protocol):
    """What is read of this machine."""

    def agent_reads(self) -> bool:
        """Whether the agent's reader of the journal runs."""

    def journal(self, priority: str) -> Iterable[str]:
        """The journal's entries as JSON, oldest first."""


class Host:
    """This machine."""

    def __init__(self, group: Path = CONTROL_GROUP, proc: Path = PROC) -> None:
        self._group, self._proc = group, proc

    def agent_reads(self) -> bool:
        """Look for the reader in the agent's control group."""
        with suppress(OSError):
            for process in (self._group / "cgroup.procs").read_text(encoding="ascii").split():
                with suppress(OSError):
                    if (self._proc / process / "comm").read_text(encoding="utf-8").strip() == READER:
                        return True
        return False

    def journal(self, priority: str) -> Iterable[str]:
        """What journalctl prints. Raises AirkilnError when it fails."""
        command = ["journalctl", "--quiet", "--no-pager", "--output=json", f"--since={SINCE}"]
        command += [f"--priority={priority}", f"--lines={LINES}"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=JOURNALCTL_TIMEOUT, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise AirkilnError(
                f"journalctl failed ({type(error).__name__}): run `journalctl --verify`, then "
                "`systemctl restart airkiln-early-journal`"
            ) from None
        return done.stdout.decode(errors="replace").splitlines()


def read_target(config: Path, instance_id: str | None) -> Target | None:
    """Where the agent sends the journal; None where it sends none."""
    try:
        logs = json.loads(config.read_text(encoding="utf-8"))["logs"]
        entry = logs["logs_collected"]["journald"]["collect_list"][0]
        group, stream = entry["log_group_name"], entry.get("log_stream_name", "{instance_id}")
        priority = entry.get("priority", "info")
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    if instance_id is None and "{instance_id}" in stream:
        return None
    return Target(group, stream.replace("{instance_id}", instance_id or ""), priority)


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Journal entries as CloudWatch's events, in the form of the agent. A damaged line is left out."""
    for line in lines:
        try:
            entry = json.loads(line)
            stamp = int(entry["__REALTIME_TIMESTAMP"]) // 1000
        except (ValueError, KeyError, TypeError):
            continue
        text = json.dumps({"body": entry}, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) > LONGEST_EVENT:
            kept = {name: value for name, value in entry.items() if name != "MESSAGE"}
            text = json.dumps({"body": {**kept, "MESSAGE": "(too long for CloudWatch)"}})
        yield {"timestamp": stamp, "message": text}


def batches(found: Iterable[Event]) -> Iterator[list[Event]]:
    """Events in batches that one call takes, in the order of their time."""
    batch: list[Event] = []
    size = 0
    for event in sorted(found, key=lambda each: int(each["timestamp"])):
        length = len(event["message"].encode()) + EVENT_BYTES
        if batch and (size + length > BATCH_BYTES or len(batch) == BATCH_EVENTS):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += length
    if batch:
        yield batch


def open_client(region: str | None) -> Any:  # noqa: ANN401 - botocore's clients have no type at run time
    """A client of CloudWatch Logs. The retries are those of `EarlyJournal`."""
    return create_client(open_session(), "logs", region, CallTimeouts(3, 20, attempts=1))


@dataclass
class EarlyJournal:
    """One run; what it touches is given to it."""

    layout: Layout = field(default_factory=Layout)
    imds: Callable[[bool], Imds] = lambda is_ec2: Imds(is_ec2=is_ec2)
    machine: Machine = field(default_factory=Host)
    client: Callable[[str | None], Any] = open_client
    stop: Stop = field(default_factory=Stop)

    def send(self) -> None:
        """Send the early part of the journal, once. A signal ends the wait: what is there is sent at once."""
        self.stop.install()
        if self.layout.early_journal_sent.exists():
            say("the early part of the journal has been sent; the agent sends the rest")
            return
        try:
            with self.imds(made_by_amazon(self.layout)) as metadata:
                instance_id = metadata.get("meta-data/instance-id")
                region = metadata.get("meta-data/placement/region")
        except NoImdsError as error:
            say(f"no instance metadata: {error}; the journal stays on this machine")
            return
        target = read_target(self.layout.cloudwatch_config, instance_id)
        if target is None:
            say("the CloudWatch agent sends no journal, so nothing of it is sent here")
            return
        self._await_the_reader()
        count = 0
        client = self.client(region)
        for batch in batches(events(self.machine.journal(target.priority))):
            if not self._put(client, target, batch):
                raise AirkilnError(f"{target.group}: stopped before the journal was sent; it is sent again")
            count += len(batch)
        files.replace(self.layout.early_journal_sent, f"{count}\n", 0o644)
        say(f"{count} lines of the early journal sent to {target.group}", NOTICE)

    def _await_the_reader(self) -> None:
        waited = 0.0
        while not self.machine.agent_reads() and not self.stop.requested:
            if waited >= READER_LIMIT:
                say(
                    f"{AGENT} does not read the journal: what it holds so far is sent; see "
                    f"`systemctl status {AGENT}`",
                    WARNING,
                )
                return
            self.stop.wait(OVERLAP)
            waited += OVERLAP
        self.stop.wait(OVERLAP)

    def _put(self, client: Any, target: Target, batch: list[Event]) -> bool:  # noqa: ANN401
        """Send a batch, however long it takes; False only where a signal came and the next attempt failed."""
        limit = RateLimit()
        while True:
            last = self.stop.requested
            try:
                with suppress(client.exceptions.ResourceAlreadyExistsException):
                    client.create_log_stream(logGroupName=target.group, logStreamName=target.stream)
                client.put_log_events(logGroupName=target.group, logStreamName=target.stream, logEvents=batch)
            except errors() as error:
                limit.say(
                    error_code(error),
                    f"{target.group}: the early journal could not be sent ({describe_error(error)}): it is "
                    f"sent again every {RETRY_EVERY:.0f} s; create the log group, and allow the instance "
                    "profile logs:CreateLogStream and logs:PutLogEvents on it",
                )
            else:
                return True
            if last:
                return False
            self.stop.wait(RETRY_EVERY)
