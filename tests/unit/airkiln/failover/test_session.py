"""Calls to the database beside the loop: answered, held up, abandoned, notified, and lost in between."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest

from airkiln.errors import UnavailableError
from airkiln.failover.lease import EpochOverError, ForeignLock
from airkiln.failover.model import Answer, Call, Lock, Trouble, What
from airkiln.failover.session import MOST_STUCK, Caller
from tests.unit.airkiln.failover.fake_client import FREE, FakeClient, Lease
from tests.unit.airkiln.failover.scheduler import PATIENCE, eventually

POLL = Call(What.POLL, ready=True)


class Loop:
    """The loop's side, with all the clients that it had made."""

    def __init__(self) -> None:
        self.others = set(threading.enumerate())
        self.lease = Lease()
        self.clients: list[FakeClient] = []
        self.caller = Caller(self._make)

    def _make(self) -> FakeClient:
        self.clients.append(FakeClient(self.lease))
        return self.clients[-1]

    def wakes(self) -> tuple[Answer | None, bool]:
        """What comes next; fails if nothing does."""
        assert select.select([self.caller.fileno()], [], [], PATIENCE)[0], "nothing comes"
        return self.caller.take()

    def asks(self, what: What, epoch: int = 7, **more: object) -> Answer:
        call = Call(what, epoch, **more)  # type: ignore[arg-type]  # of Call's fields
        assert self.caller.send(call) is None
        answer = self.answer()
        assert answer.call == call
        return answer

    def answer(self) -> Answer:
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
        assert self.caller.send(POLL) is None
        assert waiting.wait(PATIENCE)
        self.lease.before = lambda _: None


@pytest.fixture
def loop() -> Iterator[Loop]:
    found = Loop()
    yield found
    found.lease.before = lambda _: None
    for each in found.clients:
        each.abandoned.set()
    found.caller.abandon()
    eventually(lambda: not (set(threading.enumerate()) - found.others))


def test_an_answer_wakes_the_loop_once(loop: Loop) -> None:
    assert loop.asks(What.POLL).view is FREE
    assert not select.select([loop.caller.fileno()], [], [], 0)[0]
    assert loop.caller.take() == (None, False)


def test_calls_share_a_connection(loop: Loop) -> None:
    for _ in range(3):
        loop.asks(What.POLL)
    assert len(loop.clients) == 1


@pytest.mark.parametrize(
    ("what", "given", "answered"),
    [
        (What.RENEW, (False, FREE), {"view": FREE, "good": False}),
        (What.ACQUIRE, None, {"number": None}),
        (What.RELEASE, False, {"good": False}),
        (
            What.FOREIGN_LOCKS,
            [ForeignLock(12, "airflow", "critical section", "3/4", "psql from 10.0.0.9")],
            {
                "locks": (
                    Lock(12, "3/4", "session 12 of airflow (psql from 10.0.0.9) holds critical section"),
                )
            },
        ),
    ],
)
def test_each_call_has_its_answer(loop: Loop, what: What, given: object, answered: dict[str, object]) -> None:
    loop.lease.answers[what.value] = given
    assert loop.asks(what) == Answer(Call(what, 7), **answered)  # type: ignore[arg-type]  # of Answer's fields


def test_a_request_is_withdrawn_and_a_session_ended_by_its_transaction(loop: Loop) -> None:
    loop.asks(What.DROP_REQUEST)
    loop.asks(What.END_SESSION, pid=12, transaction="3/4")
    assert loop.lease.calls == ["request cancel", "end_session 12 3/4"]


def test_a_grant_is_kept_beside_the_answer_which_has_no_password(loop: Loop) -> None:
    answer = loop.asks(What.ACQUIRE)
    assert loop.caller.grant is not None
    assert (answer.number, loop.caller.grant.user) == (7, "airflow_scheduler_7")
    assert loop.caller.grant.password not in repr((answer, loop.caller.grant))


@pytest.mark.parametrize(
    ("error", "trouble", "text"),
    [
        (UnavailableError("no\n answer"), Trouble.UNAVAILABLE, "no answer"),
        (EpochOverError("epoch 7 is over"), Trouble.REFUSED, "epoch 7 is over"),
        (RuntimeError("the password is sesame"), Trouble.UNAVAILABLE, "RuntimeError"),
    ],
)
def test_what_fails_is_told_without_what_was_sent(
    loop: Loop, error: Exception, trouble: Trouble, text: str
) -> None:
    def fail(_: str) -> None:
        raise error

    loop.lease.before = fail
    answer = loop.asks(What.RENEW)
    assert (answer.trouble, answer.text) == (trouble, text)


# Abandoned


def test_an_abandoned_call_ends_and_the_next_has_a_connection_of_its_own(loop: Loop) -> None:
    loop.hangs()
    loop.caller.abandon()
    assert loop.asks(What.POLL).view is FREE
    assert len(loop.clients) == 2
    eventually(lambda: loop.clients[0].closed > 0)


def test_the_late_answer_of_an_abandoned_call_is_ignored(loop: Loop) -> None:
    answered, late = threading.Event(), threading.Event()

    def wait(_: str) -> None:
        answered.set()
        assert late.wait(PATIENCE)

    loop.lease.before = wait
    assert loop.caller.send(Call(What.ACQUIRE)) is None
    assert answered.wait(PATIENCE)
    loop.caller.abandon()
    late.set()
    assert loop.wakes() == (None, False)
    assert loop.lease.held_by == "a/1"
    assert loop.caller.grant is None


def test_a_thread_that_ends_by_being_abandoned_disturbs_nobody(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def abandon_and_see_it_end(client: FakeClient) -> None:
        client.abandoned.set()
        eventually(lambda: not (set(threading.enumerate()) - loop.others))

    loop.hangs()
    with monkeypatch.context() as patched:
        patched.setattr(FakeClient, "abandon", abandon_and_see_it_end)
        loop.caller.abandon()
    assert loop.asks(What.POLL).view is FREE


def test_threads_that_hang_for_good_are_not_made_without_end(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeClient, "abandon", lambda _: None)  # as in the resolution of a name
    for _ in range(MOST_STUCK):
        loop.hangs()
        loop.caller.abandon()
    answer = loop.caller.send(POLL)
    assert answer == Answer(POLL, trouble=Trouble.UNAVAILABLE, text="earlier calls still hang")
    assert len(loop.clients) == MOST_STUCK
    loop.clients[0].abandoned.set()
    eventually(lambda: loop.caller.send(POLL) is None)
    assert loop.answer().view is FREE


# Between the calls


def test_a_notification_wakes_the_loop(loop: Loop) -> None:
    loop.asks(What.POLL)
    loop.clients[0].tell()
    assert loop.wakes() == (None, True)


def test_a_notification_of_an_abandoned_connection_does_not(loop: Loop) -> None:
    loop.asks(What.POLL)
    loop.clients[0].tell()
    assert select.select([loop.caller.fileno()], [], [], PATIENCE)[0]
    loop.caller.abandon()
    assert loop.caller.take() == (None, False)


def test_a_connection_that_ends_between_two_polls_is_replaced_quietly(loop: Loop) -> None:
    loop.asks(What.POLL)
    loop.clients[0].end()
    eventually(lambda: loop.clients[0].closed > 0)
    assert loop.asks(What.POLL).trouble is None


@pytest.mark.parametrize("between", [[], [What.RENEW]], ids=["at once", "after a renewal"])
@pytest.mark.parametrize("what", [What.FENCE, What.ADOPT])
def test_a_connection_lost_after_the_grant_gives_the_grant_up(
    loop: Loop, what: What, between: list[What]
) -> None:
    loop.asks(What.ACQUIRE)
    loop.clients[0].end()
    eventually(lambda: loop.clients[0].closed > 0)
    for each in between:
        assert loop.asks(each).trouble is None
    answer = loop.asks(what)
    assert (answer.trouble, answer.text) == (Trouble.UNAVAILABLE, "the connection was lost")
    assert what.value not in loop.lease.calls


@pytest.mark.parametrize("what", [What.FENCE, What.ADOPT])
def test_nor_is_a_grant_used_over_another_connection(loop: Loop, what: What) -> None:
    loop.asks(What.ACQUIRE)
    loop.caller.abandon()
    assert loop.asks(what).trouble is Trouble.UNAVAILABLE
    assert what.value not in loop.lease.calls


def test_a_renewal_that_fails_gives_the_grant_up_too(loop: Loop) -> None:
    def fail(name: str) -> None:
        if name == "renew":
            raise UnavailableError("no answer")

    loop.asks(What.ACQUIRE)
    loop.lease.before = fail
    loop.asks(What.RENEW)
    assert loop.asks(What.FENCE).trouble is Trouble.UNAVAILABLE


def test_over_the_connection_of_the_grant_the_way_is_free(loop: Loop) -> None:
    loop.asks(What.ACQUIRE)
    loop.asks(What.RENEW)
    assert (loop.asks(What.FENCE).number, loop.asks(What.ADOPT).number) == (0, 1)
    loop.clients[0].end()
    eventually(lambda: loop.clients[0].closed > 0)
    loop.asks(What.ACQUIRE, epoch=8)
    assert loop.asks(What.FENCE, epoch=8).number == 0
