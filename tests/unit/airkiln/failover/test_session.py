"""Calls to the database beside the loop: answered, held up, abandoned, notified, and lost in between."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest

from airkiln.errors import UnavailableError
from airkiln.failover.lease import BlockingSession, EpochOverError
from airkiln.failover.model import BlockingLock, Failure, Operation, Reply, Request
from airkiln.failover.session import MOST_ABANDONED, DatabaseSession
from tests.unit.airkiln.failover.fake_client import FREE, FakeClient, Lease
from tests.unit.airkiln.failover.scheduler import PATIENCE, eventually

POLL = Request(Operation.POLL, ready=True)


class Loop:
    """The loop's side, with all the clients that it had made."""

    def __init__(self) -> None:
        self.others = set(threading.enumerate())
        self.lease = Lease()
        self.clients: list[FakeClient] = []
        self.session = DatabaseSession(self._make)

    def _make(self) -> FakeClient:
        self.clients.append(FakeClient(self.lease))
        return self.clients[-1]

    def wakes(self) -> tuple[Reply | None, bool]:
        """What comes next; fails if nothing does."""
        assert select.select([self.session.fileno()], [], [], PATIENCE)[0], "nothing comes"
        return self.session.take()

    def asks(self, what: Operation, epoch: int = 7, **more: object) -> Reply:
        call = Request(what, epoch, **more)  # type: ignore[arg-type]  # of Call's fields
        assert self.session.send(call) is None
        answer = self.answer()
        assert answer.request == call
        return answer

    def answer(self) -> Reply:
        while (answer := self.wakes()[0]) is None:
            pass  # the late answer of an abandoned call wakes as well
        return answer

    def hangs(self) -> None:
        """The next call does, until it is abandoned."""
        waiting = threading.Event()

        def hang(_: str) -> None:
            client = self.clients[-1]
            waiting.set()
            client.hang()

        self.lease.before = hang
        assert self.session.send(POLL) is None
        assert waiting.wait(PATIENCE)
        self.lease.before = lambda _: None


@pytest.fixture
def loop() -> Iterator[Loop]:
    found = Loop()
    yield found
    found.lease.before = lambda _: None
    for each in found.clients:
        each.abandoned.set()
    found.session.abandon()
    eventually(lambda: not (set(threading.enumerate()) - found.others))


def test_an_answer_wakes_the_loop_once(loop: Loop) -> None:
    assert loop.asks(Operation.POLL).view is FREE
    assert not select.select([loop.session.fileno()], [], [], 0)[0]
    assert loop.session.take() == (None, False)


def test_calls_share_a_connection(loop: Loop) -> None:
    for _ in range(3):
        loop.asks(Operation.POLL)
    assert len(loop.clients) == 1


@pytest.mark.parametrize(
    ("what", "given", "answered"),
    [
        (Operation.RENEW, (False, FREE), {"view": FREE, "done": False}),
        (Operation.ACQUIRE, None, {"number": None}),
        (Operation.RELEASE, False, {"done": False}),
        (
            Operation.BLOCKING_LOCKS,
            [BlockingSession(12, "airflow", "critical section", "3/4", "psql from 10.0.0.9")],
            {
                "locks": (
                    BlockingLock(
                        12, "3/4", "session 12 of airflow (psql from 10.0.0.9) holds critical section"
                    ),
                )
            },
        ),
    ],
)
def test_each_call_has_its_answer(
    loop: Loop, what: Operation, given: object, answered: dict[str, object]
) -> None:
    loop.lease.answers[what.value] = given
    assert loop.asks(what) == Reply(Request(what, 7), **answered)  # type: ignore[arg-type]  # of Reply's fields


def test_a_request_is_withdrawn_and_a_session_ended_by_its_transaction(loop: Loop) -> None:
    loop.asks(Operation.CANCEL_SWITCHOVER)
    loop.asks(Operation.END_SESSION, pid=12, transaction="3/4")
    assert loop.lease.calls == ["request cancel", "end_session 12 3/4"]


def test_a_grant_is_kept_beside_the_answer_which_has_no_password(loop: Loop) -> None:
    answer = loop.asks(Operation.ACQUIRE)
    assert loop.session.grant is not None
    assert (answer.number, loop.session.grant.user) == (7, "airflow_scheduler_7")
    assert loop.session.grant.password not in repr((answer, loop.session.grant))


@pytest.mark.parametrize(
    ("error", "trouble", "text"),
    [
        (UnavailableError("no\n answer"), Failure.UNAVAILABLE, "no answer"),
        (EpochOverError("epoch 7 is over"), Failure.REFUSED, "epoch 7 is over"),
        (RuntimeError("the password is sesame"), Failure.UNAVAILABLE, "RuntimeError"),
    ],
)
def test_what_fails_is_told_without_what_was_sent(
    loop: Loop, error: Exception, trouble: Failure, text: str
) -> None:
    def fail(_: str) -> None:
        raise error

    loop.lease.before = fail
    answer = loop.asks(Operation.RENEW)
    assert (answer.failure, answer.text) == (trouble, text)


# Abandoned


def test_an_abandoned_call_ends_and_the_next_has_a_connection_of_its_own(loop: Loop) -> None:
    loop.hangs()
    loop.session.abandon()
    assert loop.asks(Operation.POLL).view is FREE
    assert len(loop.clients) == 2
    eventually(lambda: loop.clients[0].closed > 0)


def test_the_late_answer_of_an_abandoned_call_is_ignored(loop: Loop) -> None:
    answered, late = threading.Event(), threading.Event()

    def wait(_: str) -> None:
        answered.set()
        assert late.wait(PATIENCE)

    loop.lease.before = wait
    assert loop.session.send(Request(Operation.ACQUIRE)) is None
    assert answered.wait(PATIENCE)
    loop.session.abandon()
    late.set()
    assert loop.wakes() == (None, False)
    assert loop.lease.held_by == "a/1"
    assert loop.session.grant is None


def test_a_thread_that_ends_by_being_abandoned_disturbs_nobody(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def abandon_and_see_it_end(client: FakeClient) -> None:
        client.abandoned.set()
        eventually(lambda: not (set(threading.enumerate()) - loop.others))

    loop.hangs()
    with monkeypatch.context() as patched:
        patched.setattr(FakeClient, "abandon", abandon_and_see_it_end)
        loop.session.abandon()
    assert loop.asks(Operation.POLL).view is FREE


def test_threads_that_hang_for_good_are_not_made_without_end(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeClient, "abandon", lambda _: None)  # as in the resolution of a name
    for _ in range(MOST_ABANDONED):
        loop.hangs()
        loop.session.abandon()
    answer = loop.session.send(POLL)
    assert answer == Reply(POLL, failure=Failure.UNAVAILABLE, text="earlier requests still hang")
    assert len(loop.clients) == MOST_ABANDONED
    loop.clients[0].abandoned.set()
    eventually(lambda: loop.session.send(POLL) is None)
    assert loop.answer().view is FREE


# Between the calls


def test_a_notification_wakes_the_loop(loop: Loop) -> None:
    loop.asks(Operation.POLL)
    loop.clients[0].tell()
    assert loop.wakes() == (None, True)


def test_a_notification_of_an_abandoned_connection_does_not(loop: Loop) -> None:
    loop.asks(Operation.POLL)
    loop.clients[0].tell()
    assert select.select([loop.session.fileno()], [], [], PATIENCE)[0]
    loop.session.abandon()
    assert loop.session.take() == (None, False)


def test_a_connection_that_ends_between_two_polls_is_replaced_quietly(loop: Loop) -> None:
    loop.asks(Operation.POLL)
    loop.clients[0].end()
    eventually(lambda: loop.clients[0].closed > 0)
    assert loop.asks(Operation.POLL).failure is None


@pytest.mark.parametrize("between", [[], [Operation.RENEW]], ids=["at once", "after a renewal"])
@pytest.mark.parametrize("what", [Operation.FENCE, Operation.ADOPT])
def test_a_connection_lost_after_the_grant_gives_the_grant_up(
    loop: Loop, what: Operation, between: list[Operation]
) -> None:
    loop.asks(Operation.ACQUIRE)
    loop.clients[0].end()
    eventually(lambda: loop.clients[0].closed > 0)
    for each in between:
        assert loop.asks(each).failure is None
    answer = loop.asks(what)
    assert (answer.failure, answer.text) == (Failure.UNAVAILABLE, "the connection was lost")
    assert what.value not in loop.lease.calls


@pytest.mark.parametrize("what", [Operation.FENCE, Operation.ADOPT])
def test_nor_is_a_grant_used_over_another_connection(loop: Loop, what: Operation) -> None:
    loop.asks(Operation.ACQUIRE)
    loop.session.abandon()
    assert loop.asks(what).failure is Failure.UNAVAILABLE
    assert what.value not in loop.lease.calls


def test_a_renewal_that_fails_gives_the_grant_up_too(loop: Loop) -> None:
    def fail(name: str) -> None:
        if name == "renew":
            raise UnavailableError("no answer")

    loop.asks(Operation.ACQUIRE)
    loop.lease.before = fail
    loop.asks(Operation.RENEW)
    assert loop.asks(Operation.FENCE).failure is Failure.UNAVAILABLE


def test_over_the_connection_of_the_grant_the_way_is_free(loop: Loop) -> None:
    loop.asks(Operation.ACQUIRE)
    loop.asks(Operation.RENEW)
    assert (loop.asks(Operation.FENCE).number, loop.asks(Operation.ADOPT).number) == (0, 1)
    loop.clients[0].end()
    eventually(lambda: loop.clients[0].closed > 0)
    loop.asks(Operation.ACQUIRE, epoch=8)
    assert loop.asks(Operation.FENCE, epoch=8).number == 0


def test_a_notification_that_comes_during_a_call_is_not_lost(loop: Loop) -> None:
    loop.asks(Operation.POLL)
    loop.lease.before = lambda _: loop.clients[-1].tell()
    assert loop.session.send(POLL) is None
    reply, notified = None, False
    while reply is None:
        reply, told = loop.wakes()
        notified |= told
    assert notified
