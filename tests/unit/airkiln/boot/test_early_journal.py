"""`airkiln early-journal`: what the CloudWatch agent does not send of the journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airkiln.boot import early_journal
from airkiln.boot.early_journal import READER_LIMIT, EarlyJournal, Host, batches, events, read_target
from airkiln.errors import AirkilnError
from airkiln.host.daemon import Stop
from airkiln.host.layout import Layout
from tests.unit.airkiln.boot.known_metadata import Metadata

CONFIG = {
    "logs": {
        "logs_collected": {
            "journald": {
                "collect_list": [
                    {
                        "log_group_name": "/airkiln/prod/journal",
                        "log_stream_name": "{instance_id}",
                        "priority": "notice",
                    }
                ]
            }
        }
    }
}


class Clock(Stop):
    """A stop without signals; waiting costs nothing and is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0
        self.meanwhile: list[Callable[[], None]] = []

    def install(self) -> None:
        """No signal is handled in a test."""

    def end(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        assert self.waited < 10_000, "it would wait for ever"
        if self.meanwhile:
            self.meanwhile.pop(0)()


class Logs:
    """CloudWatch Logs with one group, which a test may remove."""

    class exceptions:  # noqa: N801 - as botocore's client has it
        ResourceAlreadyExistsException = type("ResourceAlreadyExistsException", (Exception,), {})

    def __init__(self) -> None:
        self.groups = {"/airkiln/prod/journal"}
        self.streams: set[str] = set()
        self.sent: list[dict[str, Any]] = []

    def create_log_stream(self, logGroupName: str, logStreamName: str) -> None:  # noqa: N803
        if logGroupName not in self.groups:
            raise ClientError(
                {"Error": {"Code": "ResourceNotFoundException", "Message": "no such group"}}, "x"
            )
        if logStreamName in self.streams:
            raise self.exceptions.ResourceAlreadyExistsException
        self.streams.add(logStreamName)

    def put_log_events(self, logGroupName: str, logStreamName: str, logEvents: Any) -> None:  # noqa: N803, ANN401
        assert (logGroupName, logStreamName) == ("/airkiln/prod/journal", "i-1")
        self.sent += logEvents


class Instance:
    """An instance in a folder. It is its own `Machine`."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        for path in (self.layout.cloudwatch_config, self.layout.early_journal_sent):
            path.parent.mkdir(parents=True)
        self.layout.cloudwatch_config.write_text(json.dumps(CONFIG))
        self.metadata: dict[str, str] | None = {
            "meta-data/instance-id": "i-1",
            "meta-data/placement/region": "eu-west-1",
        }
        self.lines = [entry(1), entry(2)]
        self.reads = True
        self.asked: list[str] = []
        self.logs, self.clock = Logs(), Clock()

    def agent_reads(self) -> bool:
        return self.reads

    def journal(self, priority: str) -> Iterable[str]:
        self.asked.append(priority)
        return self.lines

    def run(self) -> None:
        EarlyJournal(
            self.layout, lambda _: Metadata(self.metadata), self, lambda _: self.logs, self.clock
        ).send()

    @property
    def messages(self) -> list[str]:
        return [json.loads(event["message"])["body"]["MESSAGE"] for event in self.logs.sent]


def entry(number: int, message: str = "") -> str:
    stamp = {"__REALTIME_TIMESTAMP": str(number * 1_000_000)}
    return json.dumps(stamp | {"MESSAGE": message or f"line {number}"})


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def test_what_precedes_the_agent_is_sent_to_the_agents_stream_in_its_form(instance: Instance) -> None:
    instance.run()
    assert instance.messages == ["line 1", "line 2"]
    assert [event["timestamp"] for event in instance.logs.sent] == [1000, 2000]
    assert (instance.logs.streams, instance.asked) == ({"i-1"}, ["notice"])
    assert instance.layout.early_journal_sent.exists()


def test_it_is_sent_once_in_the_life_of_an_instance(instance: Instance) -> None:
    instance.run()
    instance.run()
    assert len(instance.logs.sent) == 2


def test_what_is_written_until_the_agent_reads_is_sent_too(instance: Instance) -> None:
    instance.reads = False

    def the_agent_starts() -> None:
        instance.reads = True
        instance.lines.append(entry(3))

    instance.clock.meanwhile = [lambda: None, the_agent_starts]
    instance.run()
    assert instance.messages == ["line 1", "line 2", "line 3"]


def test_an_agent_that_never_reads_is_named_and_the_journal_is_sent(
    instance: Instance, capfd: pytest.CaptureFixture[str]
) -> None:
    instance.reads = False
    instance.run()
    assert instance.clock.waited >= READER_LIMIT
    assert instance.messages == ["line 1", "line 2"]
    assert "amazon-cloudwatch-agent.service does not read the journal" in capfd.readouterr().err


def test_a_log_group_that_appears_late_loses_nothing(instance: Instance) -> None:
    instance.logs.groups.clear()
    hours = [lambda: None] * 100
    instance.clock.meanwhile = [*hours, lambda: instance.logs.groups.add("/airkiln/prod/journal")]
    instance.run()
    assert instance.messages == ["line 1", "line 2"]


def test_a_shutdown_ends_the_wait_and_what_is_there_is_sent(instance: Instance) -> None:
    instance.reads = False
    instance.clock.meanwhile = [instance.clock.end]
    instance.run()
    assert instance.messages == ["line 1", "line 2"]
    assert instance.clock.waited < READER_LIMIT


def test_a_shutdown_without_a_log_group_ends_and_the_next_boot_sends_it(instance: Instance) -> None:
    instance.logs.groups.clear()
    instance.clock.meanwhile = [lambda: None, instance.clock.end]
    with pytest.raises(AirkilnError, match="stopped before"):
        instance.run()
    assert not instance.layout.early_journal_sent.exists()
    instance.logs.groups.add("/airkiln/prod/journal")
    instance.run()
    assert instance.messages == ["line 1", "line 2"]


def test_where_the_agent_sends_no_journal_none_is_sent(instance: Instance) -> None:
    instance.layout.cloudwatch_config.write_text(json.dumps({"metrics": {}}))
    instance.run()
    instance.metadata = None
    instance.run()
    assert instance.logs.sent == []


def test_the_stream_is_the_one_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(json.dumps(CONFIG).replace("{instance_id}", "mine"))
    target = read_target(path, None)
    assert target is not None
    assert target.stream == "mine"
    path.write_text(json.dumps(CONFIG))
    assert read_target(path, None) is None


def test_a_damaged_line_is_left_out_and_binary_messages_are_kept() -> None:
    binary = json.dumps({"__REALTIME_TIMESTAMP": "1000", "MESSAGE": [104, 105]})
    found = list(events(["{", "[]", "{}", binary]))
    assert [json.loads(each["message"])["body"]["MESSAGE"] for each in found] == [[104, 105]]


def test_no_event_and_no_batch_is_longer_than_cloudwatch_takes() -> None:
    long = [entry(2, "ä" * 200_000), entry(1, "x" * 200_000), entry(3, "y" * 300_000)] * 4
    made = list(batches(events(long + [entry(9)] * 10_001)))
    sizes = [
        sum(len(event["message"].encode()) + early_journal.EVENT_BYTES for event in batch) for batch in made
    ]
    assert max(sizes) <= early_journal.BATCH_BYTES
    assert max(map(len, made)) <= early_journal.BATCH_EVENTS
    assert sum(map(len, made)) == 12 + 10_001
    stamps = [event["timestamp"] for batch in made for event in batch]
    assert stamps == sorted(stamps)
    assert max(len(event["message"].encode()) for batch in made for event in batch) < 256 * 1024


@pytest.mark.parametrize(("name", "reads"), [("journalctl", True), ("amazon-cloudwat", False)])
def test_the_agents_reader_is_found_in_its_control_group(tmp_path: Path, name: str, reads: bool) -> None:
    group, proc = tmp_path / "group", tmp_path / "proc"
    (proc / "7").mkdir(parents=True)
    group.mkdir()
    machine = Host(group, proc)
    assert not machine.agent_reads()
    (group / "cgroup.procs").write_text("6\n7\n")
    (proc / "7/comm").write_text(f"{name}\n")
    assert machine.agent_reads() is reads
