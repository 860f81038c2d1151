"""The lease and the fence, as a controller asks PostgreSQL 17 for them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors

from airkiln.database import prepare as preparing
from airkiln.database.prepare import Plan
from airkiln.database.schema import VERSION
from airkiln.errors import AirkilnError, DeniedError, RefusedError, UnavailableError
from airkiln.failover.config import Timings
from airkiln.failover.lease import Grant, LeaseClient
from rehearsal.aws.services.rds.postgres import Postgres
from tests.database.support import LIMITS, expire, session, take

pytestmark = pytest.mark.root


def test_of_twelve_contenders_one_gets_the_lease_and_no_epoch_comes_twice(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    contenders = [client(f"host-{number}") for number in range(12)]
    for each in contenders:
        each.poll(True)
    epochs = []
    for _ in range(8):
        start = threading.Barrier(12)

        def contend(each: LeaseClient, start: threading.Barrier = start) -> Grant | None:
            start.wait()
            return each.acquire()

        with ThreadPoolExecutor(12) as pool:
            granted = [grant for grant in pool.map(contend, contenders) if grant]
        assert len(granted) == 1
        epochs.append(granted[0].epoch)
        expire(server)
    assert epochs == list(range(epochs[0], epochs[0] + 8))


def test_a_lease_is_renewed_by_its_holder_in_its_epoch_only(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    epoch = take(one).epoch
    assert one.renew(True, epoch)[0]
    assert not other.renew(True, epoch)[0]
    assert not one.renew(True, epoch - 1)[0]
    expire(server)
    assert not one.renew(True, epoch)[0]


def test_who_lost_the_reply_finds_itself_the_holder_and_can_release(
    client: Callable[[str], LeaseClient],
) -> None:
    one = client("one")
    epoch = take(one).epoch
    one.close()  # whatever was answered is lost with the connection
    seen = one.poll(True)
    assert (seen.holder, seen.epoch, seen.remaining > 0) == ("one/1", epoch, True)
    assert one.release(epoch, "its grant was never received")
    assert one.poll(True).remaining <= 0


def test_a_release_wakes_who_waits(client: Callable[[str], LeaseClient]) -> None:
    one, other = client("one"), client("other")
    epoch = take(one).epoch
    other.poll(True)
    other.notified()
    one.release(epoch, "done")
    other.poll(True)
    assert other.notified()
    assert not other.notified()


@pytest.mark.parametrize(
    ("holder", "seconds", "sentence"),
    [
        ("one/1", 0.5, "from 1 to 3600 seconds"),
        ("one/1", 1e9, "from 1 to 3600 seconds"),
        ("one/1", None, "from 1 to 3600 seconds"),
        ("one", 4, "a holder"),
        ("a" * 201 + "/1", 4, "a holder"),
        ("one\nhost/1", 4, "a holder"),
    ],
)
def test_who_may_acquire_holds_the_lease_for_no_longer_than_a_bound_and_under_a_name(
    plan: Plan, client: Callable[[str], LeaseClient], holder: str, seconds: float | None, sentence: str
) -> None:
    one = client("one")
    with session(plan, preparing.CONTROLLER) as controller, pytest.raises(psycopg.Error, match=sentence):
        controller.execute("SELECT airkiln.acquire(%s, %s, 'SCRAM-SHA-256$x')", (holder, seconds))
    assert one.poll(True).remaining <= 0


def test_the_reason_of_a_release_is_kept_as_long_as_a_sentence(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    one.release(take(one).epoch, "x" * 100_000)
    assert server.sql("SELECT length(reason) FROM airkiln.lease", "airflow") == "500"


def test_who_may_log_in_wakes_no_controller(plan: Plan, client: Callable[[str], LeaseClient]) -> None:
    one = client("one")
    one.poll(True)
    with session(plan, preparing.WORKER) as worker:
        for channel in ("airkiln_lease", "airkiln", "lease"):
            worker.execute(f"NOTIFY {channel}")
        with pytest.raises(errors.InsufficientPrivilege):
            worker.execute("SELECT channel FROM airkiln.lease")
    one.poll(True)
    assert not one.notified()


def test_paused_nobody_takes_over_until_resumed(client: Callable[[str], LeaseClient]) -> None:
    one, other = client("one"), client("other")
    take(one)
    one.request("pause", None, "a person")
    one.request("free", None, "a person")
    assert other.poll(True).paused
    assert other.acquire() is None
    one.request("resume", None, "a person")
    assert take(other).epoch


def test_a_standby_counts_while_it_is_ready_and_seen(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    other.poll(True)
    assert one.poll(True).standbys == 1
    other.poll(False)
    assert one.poll(True).standbys == 0
    other.poll(True)
    aged = f"UPDATE airkiln.host SET seen_at = seen_at - interval '{LIMITS.fresh_for} s' WHERE host = 'other'"
    server.sql(aged, "airflow")
    assert one.poll(True).standbys == 0


def test_a_host_that_polls_rarely_counts_for_as_long_as_it_says(
    plan: Plan, server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    keywords = plan.target.keywords(preparing.CONTROLLER, plan.controller_password)
    rare = LeaseClient(keywords, "rare", "rare/1", Timings(lease_ttl=20, poll_interval=10, call_timeout=1))
    rare.poll(True)
    aged = "UPDATE airkiln.host SET seen_at = seen_at - interval '{} s' WHERE host = 'rare'"
    server.sql(aged.format(15), "airflow")
    assert one.poll(True).standbys == 1
    server.sql(aged.format(6), "airflow")
    assert one.poll(True).standbys == 0
    rare.close()


# What goes wrong


def test_no_call_is_compiled_however_much_the_planner_expects_of_it(plan: Plan, server: Postgres) -> None:
    assert plan
    compiled = """
        SELECT coalesce('jit=off' = ANY(proconfig), false), count(*)
          FROM pg_proc WHERE pronamespace = 'airkiln'::regnamespace GROUP BY 1
    """
    assert re.fullmatch(r"t\|\d+", server.sql(compiled, "airflow"))


def test_a_call_that_hangs_ends_when_it_is_abandoned(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    one.poll(True)
    backend = "$(pgrep -f '[p]ostgres: .*airkiln_controller')"
    server.machine.execute(["sh", "-c", f"kill -STOP {backend}"])
    try:
        threading.Timer(0.3, one.abandon).start()
        with pytest.raises(UnavailableError):
            one.poll(True)
    finally:
        server.machine.execute(["sh", "-c", f"kill -CONT {backend}"])
    assert one.poll(True).epoch


@pytest.mark.parametrize(
    ("break_it", "mend_it", "sentence"),
    [
        (
            "ALTER SCHEMA airkiln RENAME TO gone",
            "ALTER SCHEMA gone RENAME TO airkiln",
            "the schema airkiln is not in the database",
        ),
        (
            "UPDATE airkiln.schema_version SET version = 99",
            f"UPDATE airkiln.schema_version SET version = {VERSION}",
            f"has version 99 and this release speaks {VERSION}",
        ),
    ],
    ids=["missing", "another version"],
)
def test_a_lease_table_that_does_not_fit_is_refused(
    server: Postgres, client: Callable[[str], LeaseClient], break_it: str, mend_it: str, sentence: str
) -> None:
    server.sql(break_it, "airflow")
    try:
        with pytest.raises(RefusedError, match=sentence):
            client("one").poll(True)
    finally:
        server.sql(mend_it, "airflow")


def test_a_wrong_password_is_denied_and_a_dead_host_is_unavailable(plan: Plan) -> None:
    keywords = plan.target.keywords(preparing.CONTROLLER, "wrong")
    outcomes: list[type[AirkilnError]] = []
    for changed in (keywords, {**keywords, "host": "10.42.0.77"}):
        try:
            LeaseClient(changed, "one", "one/1", LIMITS).poll(True)
        except AirkilnError as error:
            outcomes.append(type(error))
    assert outcomes == [DeniedError, UnavailableError]
