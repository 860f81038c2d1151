"""The notices of an instance's end: wrong clocks, metadata that does not answer, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airkiln.errors import UnavailableError
from airkiln.host import metadata as imds
from airkiln.host.layout import Layout
from airkiln.host.metadata import NoImdsError
from airkiln.host.notices import Notices, NoticeWatcher, SpotNotice, describe, remaining

LIFECYCLE = "meta-data/autoscaling/target-lifecycle-state"
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
        self.watcher = NoticeWatcher(lambda: self, lambda: self.boot, lambda: self.wall)

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


def test_a_notice_is_kept_with_its_words_until_it_is_withdrawn(metadata: Metadata) -> None:
    metadata.values[SPOT] = notice()
    assert metadata.observe().spot == SpotNotice(620.0, "Spot terminate at 2027-01-15T08:02:00Z")
    del metadata.values[SPOT]
    assert metadata.observe().spot is None


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


def test_where_there_is_no_metadata_nothing_is_asked_any_more(metadata: Metadata) -> None:
    metadata.failure = NoImdsError("nobody")
    assert not metadata.watcher.observe()


@pytest.mark.parametrize(("instance", "goes_on"), [("i-1", True), (None, False)])
def test_a_daemon_that_starts_while_metadata_is_away_watches_on_where_the_boot_found_an_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: str | None, goes_on: bool
) -> None:
    layout = Layout(tmp_path)
    layout.instance_json.parent.mkdir(parents=True)
    layout.instance_json.write_text(json.dumps({"instance_id": instance}))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    assert NoticeWatcher(lambda: imds.connect(layout)).observe() is goes_on


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
