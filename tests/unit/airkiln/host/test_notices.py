"""The notices of an instance's end: wrong clocks, metadata that does not answer, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.stub import Stubber

from airkiln.aws.clients import make_client
from airkiln.errors import UnavailableError
from airkiln.host import metadata as imds
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.host.metadata import NoImdsError
from airkiln.host.notices import (
    ABSENT_EVERY,
    ASK_EVERY,
    EVERY,
    AutoScaling,
    Notices,
    NoticeWatcher,
    SpotNotice,
    describe,
    remaining,
    target_of,
)

LIFECYCLE = "meta-data/autoscaling/target-lifecycle-state"
GROUP = "meta-data/tags/instance/aws:autoscaling:groupName"
INSTANCE_ID, REGION = "meta-data/instance-id", "meta-data/placement/region"
SPOT = "meta-data/spot/instance-action"
REBALANCE = "meta-data/events/recommendations/rebalance"
MOMENT = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def notice(time: str = "2027-01-15T08:02:00Z") -> str:
    return json.dumps({"action": "terminate", "time": time})


class Metadata:
    """Instance metadata without a network, and the clocks beside it."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {LIFECYCLE: "InService"}
        self.failure: Exception | None = None
        self.failure_at: str | None = None
        self.boot, self.wall = 500.0, MOMENT
        self.group: str | Exception | None = None
        self.asked: list[Instance] = []
        self.watcher = NoticeWatcher(lambda: self, lambda: self.boot, lambda: self.wall, ask=self.ask)

    def ask(self, instance: Instance) -> str | None:
        self.asked.append(instance)
        if isinstance(self.group, Exception):
            raise self.group
        return self.group

    def get(self, path: str) -> str | None:
        if self.failure is not None:
            raise self.failure
        if path == self.failure_at:
            raise UnavailableError("slow")
        return self.values.get(path)

    def observe(self) -> Notices:
        assert self.watcher.observe()
        return self.watcher.notices


@pytest.fixture
def metadata() -> Metadata:
    return Metadata()


def test_the_groups_word_is_passed_on(metadata: Metadata) -> None:
    assert metadata.observe() == Notices(lifecycle="InService")
    metadata.values[LIFECYCLE] = "Terminated"
    assert metadata.observe().lifecycle == "Terminated"


def test_outside_a_group_there_is_no_word(metadata: Metadata) -> None:
    metadata.values.clear()
    assert metadata.observe() == Notices()


def test_a_recommendation_is_passed_on(metadata: Metadata) -> None:
    metadata.values[REBALANCE] = '{"noticeTime": "2027-01-15T08:00:00Z"}'
    assert metadata.observe().rebalance


def spot_end(metadata: Metadata) -> float | None:
    spot = metadata.observe().spot
    return None if spot is None else spot.end


def test_a_notice_is_kept_with_its_words_although_metadata_loses_it(metadata: Metadata) -> None:
    metadata.values[SPOT] = notice()
    assert metadata.observe().spot == SpotNotice(620.0, "Spot terminate at 2027-01-15T08:02:00Z")
    del metadata.values[SPOT]
    metadata.boot = 619.0
    assert spot_end(metadata) == 620.0


def test_a_notice_is_over_once_its_time_has_come_and_metadata_has_none(metadata: Metadata) -> None:
    metadata.values[SPOT] = notice()
    metadata.observe()
    metadata.boot = 620.0
    assert spot_end(metadata) == 620.0
    del metadata.values[SPOT]
    assert spot_end(metadata) is None


MOVED = {INSTANCE_ID: "i-1", REGION: "eu-west-1", GROUP: "airkiln-prod-worker-default"}
"""Metadata after a live migration: no lifecycle state until the next transition."""


@pytest.mark.parametrize("said", ["Terminated", RuntimeError("throttled")])
def test_a_drain_that_has_begun_goes_on_where_metadata_has_lost_the_lifecycle_state(
    metadata: Metadata, said: str | Exception
) -> None:
    metadata.values = MOVED | {LIFECYCLE: "Terminated"}
    metadata.observe()
    metadata.values, metadata.group = dict(MOVED), said
    for _ in range(30):
        metadata.boot += EVERY
        assert metadata.observe().lifecycle == "Terminated"
    assert len(metadata.asked) == 30 * EVERY / ASK_EVERY
    assert {(each.instance_id, each.region) for each in metadata.asked} == {("i-1", "eu-west-1")}


def test_an_end_that_begins_after_the_move_is_known_from_auto_scaling(metadata: Metadata) -> None:
    metadata.values, metadata.group = dict(MOVED), "InService"
    assert metadata.observe().lifecycle == "InService"
    metadata.group = "Terminated"
    metadata.boot += ASK_EVERY
    assert metadata.observe().lifecycle == "Terminated"


def test_metadata_is_believed_again_after_the_next_transition(metadata: Metadata) -> None:
    metadata.values, metadata.group = dict(MOVED), "InService"
    metadata.observe()
    metadata.values[LIFECYCLE] = "Terminated"
    assert metadata.observe().lifecycle == "Terminated"
    assert len(metadata.asked) == 1


def test_outside_a_group_auto_scaling_is_not_asked(metadata: Metadata) -> None:
    del metadata.values[LIFECYCLE]
    assert metadata.observe().lifecycle is None
    assert metadata.asked == []


@pytest.mark.parametrize(
    ("state", "target"),
    [
        ("InService", "InService"),
        ("Pending:Wait", "InService"),
        ("Terminating:Wait", "Terminated"),
        ("Terminating:Proceed", "Terminated"),
        ("Terminated", "Terminated"),
        ("Detaching", "Detached"),
        ("EnteringStandby", "Standby"),
        ("Standby", "Standby"),
        ("Warmed:Stopped", "Warmed"),
    ],
)
def test_the_lifecycle_state_says_what_metadata_would(state: str, target: str) -> None:
    assert target_of(state) == target


def test_auto_scaling_is_asked_about_this_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stubber(make_client("autoscaling", "eu-west-1"))
    member = {
        "InstanceId": "i-1",
        "AutoScalingGroupName": "g",
        "AvailabilityZone": "eu-west-1a",
        "LifecycleState": "Terminating:Wait",
        "HealthStatus": "HEALTHY",
        "ProtectedFromScaleIn": False,
    }
    for found in ([member], []):
        stub.add_response(
            "describe_auto_scaling_instances", {"AutoScalingInstances": found}, {"InstanceIds": ["i-1"]}
        )
    group = AutoScaling(lambda _service, _region: stub.client)
    with stub:
        assert group.target(Instance("i-1", "eu-west-1")) == "Terminated"
        assert group.target(Instance("i-1", "eu-west-1")) is None


@pytest.mark.parametrize("text", ["soon", "{}", "[]"])
def test_a_notice_that_cannot_be_read_is_a_notice(text: str) -> None:
    assert describe(text) == "a Spot notice"


def test_a_notices_time_is_converted_once_whatever_the_clock_does_then(metadata: Metadata) -> None:
    metadata.values[SPOT] = notice()
    assert spot_end(metadata) == 620.0
    metadata.boot, metadata.wall = 502.0, MOMENT + 86400
    assert spot_end(metadata) == 620.0
    metadata.wall = 0.0
    assert spot_end(metadata) == 620.0


def test_metadata_that_does_not_answer_changes_nothing_and_is_told_every_ten_minutes(
    metadata: Metadata, capfd: pytest.CaptureFixture[str]
) -> None:
    metadata.values |= {LIFECYCLE: "Terminated", SPOT: notice()}
    before = metadata.observe()
    capfd.readouterr()
    metadata.failure = UnavailableError("slow")
    for _ in range(3):
        assert metadata.observe() == before
    assert capfd.readouterr().err.count("event=metadata-failed") == 1
    metadata.boot += 600
    assert metadata.observe() == before
    assert capfd.readouterr().err.count("event=metadata-failed") == 1


def test_an_answer_that_is_cut_in_half_changes_nothing(metadata: Metadata) -> None:
    before = metadata.observe()
    metadata.values[LIFECYCLE] = "Terminated"
    metadata.failure_at = SPOT
    assert metadata.observe() == before


def test_metadata_that_refused_connections_at_the_start_is_read_when_it_is_there(metadata: Metadata) -> None:
    metadata.failure = NoImdsError("nobody")
    assert not metadata.watcher.observe()
    metadata.failure = None
    metadata.values |= {INSTANCE_ID: "i-1", REGION: "eu-west-1"}
    assert metadata.observe().lifecycle == "InService"
    assert metadata.watcher.instance == Instance("i-1", "eu-west-1")


def test_a_host_without_metadata_asks_seldom_and_says_so_once(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class TheEndError(BaseException):
        """Nothing in the loop catches it."""

    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 5:
            raise TheEndError

    monkeypatch.setattr("airkiln.host.notices.time.sleep", sleep)
    metadata.failure = NoImdsError("nobody")
    with pytest.raises(TheEndError):
        metadata.watcher.run()
    assert waits == [ABSENT_EVERY] * 5
    assert capfd.readouterr().err.count("event=no-metadata") == 1


def test_a_daemon_that_starts_while_metadata_is_away_watches_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    layout.instance_json.parent.mkdir(parents=True)
    layout.instance_json.write_text(json.dumps({"instance_id": "i-1"}))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    assert NoticeWatcher(lambda: imds.connect(layout)).observe()


@pytest.mark.parametrize(
    ("text", "wall", "seconds"),
    [
        (notice(), MOMENT, 120),
        (notice(), MOMENT + 75, 45),
        (notice("2027-01-15T08:02:00"), MOMENT + 75, 45),
        (notice(), MOMENT - 3600, 120),
        (notice(), MOMENT + 3600, 0),
        (notice("soon"), MOMENT, 120),
        ('{"action": "terminate"}', MOMENT, 120),
        ("not JSON", MOMENT, 120),
        ("[]", MOMENT, 120),
    ],
)
def test_a_notice_never_leaves_more_than_two_minutes(text: str, wall: float, seconds: float) -> None:
    assert remaining(text, wall) == seconds
