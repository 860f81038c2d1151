"""What is done at AWS, and what is not when AWS or the lease says no."""

from __future__ import annotations

import pytest

from airkiln.autoscale.apply import Applier, Done
from airkiln.autoscale.model import Kind, Note, Protect, ScaleOut, Terminate, Unprotect
from airkiln.errors import UnavailableError
from tests.unit.airkiln.autoscale.fakes import AwsError, Clock, FakeCloud

GROUP = "airkiln-prod-worker-default"
NOTE = Note(Kind.HOLD, 0, 0, 0, "as many as are wanted")


class Bench:
    """An applier with all that it touches."""

    def __init__(self) -> None:
        self.cloud, self.clock = FakeCloud(), Clock()
        self.answers: list[bool | Exception] = [True]
        self.asked = 0
        self.done = Done(leads=True, not_terminated=frozenset())
        self.applier = Applier("prod", self.cloud, self.leads, self.clock)

    def leads(self) -> bool:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def carry_out(self, *actions: ScaleOut | Terminate | Protect | Unprotect | Note) -> bool:
        self.done = self.applier.carry_out({"default": actions}, self.clock() + 8)
        return self.done.leads


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.cloud.add(GROUP, 3)
    return made


def lines(capsys: pytest.CaptureFixture[str], event: str) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if f"event={event} " in line]


def test_each_action_is_its_call(bench: Bench) -> None:
    assert bench.carry_out(
        ScaleOut(5), Terminate(("i-1", "i-2")), Protect(("i-3",)), Unprotect(("i-3",)), NOTE
    )
    assert bench.cloud.calls == [
        ("set_desired", GROUP, 5),
        ("protect", GROUP, ("i-3",)),
        ("unprotect", GROUP, ("i-3",)),
        ("terminate", "i-1"),
        ("terminate", "i-2"),
    ]
    assert bench.asked == 5, "before each call, whether this host leads"


def test_protection_goes_in_batches_of_fifty(bench: Bench) -> None:
    names = tuple(f"i-{number:03}" for number in range(120))
    bench.carry_out(Protect(names))
    assert [len(call[2]) for call in bench.cloud.calls] == [50, 50, 20]  # type: ignore[arg-type]
    assert tuple(one for call in bench.cloud.calls for one in call[2]) == names  # type: ignore[attr-defined]


def test_a_leader_lost_in_the_middle_stops_there(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.answers = [True, False]
    assert not bench.carry_out(Terminate(("i-1", "i-2", "i-3")))
    assert bench.cloud.calls == [("terminate", "i-1")]
    assert "reason=this host no longer leads" in lines(capsys, "stopped")[0]


def test_who_does_not_know_whether_it_leads_changes_nothing(bench: Bench) -> None:
    bench.answers = [UnavailableError("database airflow at db: no answer")]
    assert not bench.carry_out(ScaleOut(9))
    assert bench.cloud.calls == []


def test_nothing_to_change_asks_nobody(bench: Bench) -> None:
    assert bench.carry_out(NOTE)
    assert bench.asked == 0


@pytest.mark.parametrize(
    ("code", "action", "what"),
    [
        ("Throttling", ScaleOut(5), "scale-out"),
        ("ScalingActivityInProgress", ScaleOut(5), "scale-out"),
        ("ValidationError", Terminate(("i-1",)), "terminate"),
        ("ValidationError", Protect(("i-1",)), "protect"),
    ],
)
def test_what_aws_refuses_is_told_once_in_ten_minutes_and_tried_again(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    code: str,
    action: ScaleOut | Terminate | Protect,
    what: str,
) -> None:
    kinds = {"scale-out": "set_desired", "terminate": "terminate", "protect": "protect"}
    bench.cloud.fails = {kinds[what]: AwsError(code, "not now: i-1")}
    for _ in range(60):
        assert bench.carry_out(action), "the leader goes on"
        bench.clock.now += 9.9
    found = lines(capsys, f"{what}-failed")
    assert len(found) == 1
    assert "pool=default" in found[0]
    assert f"reason={code}: not now: i-1" in found[0]
    assert len(bench.cloud.calls) == 60
    bench.clock.now += 10
    bench.carry_out(action)
    assert len(lines(capsys, f"{what}-failed")) == 1


def test_one_that_cannot_be_ended_holds_up_no_other(bench: Bench) -> None:
    bench.cloud.fails = {"terminate": AwsError("ValidationError", "Instance Id not found")}
    bench.carry_out(Terminate(("i-1", "i-2")), ScaleOut(4))
    assert [call[0] for call in bench.cloud.calls] == ["set_desired", "terminate", "terminate"]
    assert bench.done.not_terminated == {"i-1", "i-2"}


def test_a_pool_that_grows_does_not_wait_for_one_that_shrinks(bench: Bench) -> None:
    bench.cloud.add("airkiln-prod-worker-batch", 2)
    many = tuple(f"i-{number}" for number in range(200))

    def slow() -> None:
        bench.clock.now += 0.1

    bench.cloud.slow = slow
    decided = {"default": (Terminate(many), NOTE), "batch": (ScaleOut(4, 2), Protect(("i-1",)), NOTE)}
    done = bench.applier.carry_out(decided, bench.clock() + 8)
    assert [call[0] for call in bench.cloud.calls[:3]] == ["set_desired", "protect", "terminate"]
    made = {call[1] for call in bench.cloud.calls if call[0] == "terminate"}
    assert 70 < len(made) < 90
    assert done.not_terminated == set(many) - made, "there was no time for the rest"


def test_two_pools_that_shrink_take_turns(bench: Bench) -> None:
    bench.applier.carry_out(
        {"default": (Terminate(("a-1", "a-2")),), "batch": (Terminate(("b-1", "b-2")),)}, bench.clock() + 8
    )
    assert [call[1] for call in bench.cloud.calls] == ["a-1", "b-1", "a-2", "b-2"]


@pytest.mark.parametrize(
    ("action", "calls"), [(ScaleOut(5, 3), 1), (ScaleOut(5, 2), 0), (ScaleOut(3, 3), 0), (ScaleOut(2), 0)]
)
def test_a_capacity_that_was_decided_from_another_is_not_set(
    bench: Bench, capsys: pytest.CaptureFixture[str], action: ScaleOut, calls: int
) -> None:
    """Another leader, or a person, has changed the group since: an absolute number would undo that."""
    assert bench.carry_out(action)
    assert len(bench.cloud.calls) == calls
    assert len(lines(capsys, "scale-out-stale")) == 1 - calls


def test_the_lease_is_checked_after_the_look_at_the_group(bench: Bench) -> None:
    def taken_over() -> None:
        bench.answers = [False]

    bench.cloud.on_look = taken_over
    assert not bench.carry_out(ScaleOut(5, 3))
    assert bench.cloud.calls == []


def test_slow_answers_leave_the_rest_to_the_next_cycle(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow() -> None:
        bench.clock.now += 5

    bench.cloud.slow = slow
    assert bench.carry_out(Terminate(("i-1", "i-2", "i-3")))
    assert len(bench.cloud.calls) == 2
    assert len(lines(capsys, "out-of-time")) == 1


def test_a_look_has_the_group_of_each_pool_with_addresses(bench: Bench) -> None:
    found = bench.applier.observe(["default"])
    assert [each.address for each in found["default"].instances] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    bench.applier.observe(["default"])
    assert bench.cloud.asked == [("i-1", "i-2", "i-3")], "each address once"
    bench.cloud.add(GROUP, 4)
    bench.applier.observe(["default"])
    assert bench.cloud.asked[1:] == [("i-4",)]


def test_an_address_that_is_not_there_yet_is_asked_for_again(bench: Bench) -> None:
    del bench.cloud.known["i-3"]
    assert bench.applier.observe(["default"])["default"].instances[2].address is None
    bench.cloud.known["i-3"] = "10.0.0.3"
    assert bench.applier.observe(["default"])["default"].instances[2].address == "10.0.0.3"
    assert bench.cloud.asked[1:] == [("i-3",)]


def test_without_addresses_the_group_is_known_all_the_same(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.cloud.fails = {"addresses": AwsError("UnauthorizedOperation")}
    found = bench.applier.observe(["default"])
    assert [each.address for each in found["default"].instances] == [None] * 3
    assert len(lines(capsys, "addresses-unknown")) == 1


def test_a_group_that_is_missing_is_named_and_the_others_are_there(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        assert list(bench.applier.observe(["default", "batch"])) == ["default"]
    found = lines(capsys, "no-group")
    assert len(found) == 1
    assert "group=airkiln-prod-worker-batch" in found[0]


def test_without_aws_no_group_is_known(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.cloud.fails = {"groups": AwsError("ThrottlingException", "Rate exceeded")}
    for _ in range(3):
        assert bench.applier.observe(["default"]) == {}
    assert len(lines(capsys, "groups-unknown")) == 1
