"""The lease and the fence, as a controller asks PostgreSQL 17 for them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors

from airkiln.database import prepare as preparing
from airkiln.database.prepare import Plan
from airkiln.errors import AirkilnError, DeniedError, RefusedError, UnavailableError
from airkiln.failover.lease import EpochOverError, Grant, LeaseClient
from rehearsal.deployment.postgres import Postgres
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


def test_paused_nobody_takes_over_until_resumed(client: Callable[[str], LeaseClient]) -> None:
    one = client("one")
    one.request("pause", None, "a person")
    assert one.poll(True).paused
    assert one.acquire() is None
    one.request("resume", None, "a person")
    assert take(one).epoch


def test_a_standby_counts_while_it_is_ready_and_seen(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    other.poll(True)
    assert one.poll(True).standbys == 1
    other.poll(False)
    assert one.poll(True).standbys == 0
    other.poll(True)
    server.sql("UPDATE airkiln.host SET seen_at = seen_at - interval '4 s' WHERE host = 'other'", "airflow")
    assert one.poll(True).standbys == 0


# The fence


def test_an_older_epoch_loses_its_session_its_login_and_its_rights(
    plan: Plan, server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    old = take(one)
    write = "INSERT INTO task_instance (id) VALUES (1)"
    with session(plan, old.user, old.password) as scheduler:
        scheduler.execute(write)
        expire(server)
        new = take(other)
        # The session is still open: what it may do went with the other's grant.
        with pytest.raises(errors.InsufficientPrivilege):
            scheduler.execute(write)
        assert other.fence(new.epoch) == 1
        assert [other.fence(new.epoch) for _ in range(20)][-2:] == [0, 0]
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            scheduler.execute(write)
    with pytest.raises(psycopg.OperationalError, match="is not permitted to log in"):
        session(plan, old.user, old.password)
    with session(plan, new.user, new.password) as scheduler:
        scheduler.execute(write)


def test_a_session_that_outlived_its_role_ends_before_it_commits(
    plan: Plan, server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    old = take(one)
    scheduler = session(plan, old.user, old.password)
    scheduler.autocommit = False
    scheduler.execute("INSERT INTO task_instance (id) VALUES (4711)")
    # Three takeovers whose controllers died before they fenced: the last one drops the role.
    for _ in range(3):
        expire(server)
        new = take(one)
    assert server.sql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{old.user}'") == "0"
    assert one.fence(new.epoch) == 1
    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        scheduler.commit()
    assert server.sql("SELECT count(*) FROM task_instance WHERE id = 4711", "airflow") == "0"


def test_only_two_older_epochs_keep_their_names(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    for _ in range(5):
        last = take(one).epoch
        expire(server)
    roles = server.sql("SELECT rolname FROM pg_roles WHERE rolname ~ '^airflow_scheduler_' ORDER BY oid")
    assert roles.splitlines() == [f"airflow_scheduler_{epoch}" for epoch in (last - 2, last - 1, last)]


def test_a_role_that_owns_something_stays_and_holds_up_nobody(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    kept = take(one).user
    server.sql(f"CREATE SCHEMA owned AUTHORIZATION {kept}", "airflow")
    for _ in range(4):
        expire(server)
        take(one)
    assert server.sql(f"SELECT rolcanlogin FROM pg_roles WHERE rolname = '{kept}'") == "f"
    server.sql(f"DROP SCHEMA owned; DROP ROLE {kept}", "airflow")


def test_a_lease_that_forgot_an_epoch_never_gives_its_name_again(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    epoch = take(one).epoch
    server.sql(f"UPDATE airkiln.lease SET epoch = {epoch - 1}, expires_at = 'epoch'", "airflow")
    assert take(one).epoch == epoch + 1


def test_an_epoch_that_is_over_fences_and_adopts_nothing(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    old = take(one).epoch
    expire(server)
    take(other)
    with pytest.raises(EpochOverError, match=f"epoch {old} of one/1 is over"):
        one.fence(old)
    with pytest.raises(EpochOverError):
        one.adopt(old)


def test_an_epoch_of_the_same_number_and_another_holder_is_over_too(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    epoch = take(one).epoch
    # As in a database that went on from an older copy of itself.
    server.sql("UPDATE airkiln.lease SET holder = 'other/1'", "airflow")
    with pytest.raises(EpochOverError):
        one.fence(epoch)
    assert not one.renew(True, epoch)[0]
    # Sessions that an earlier test left may end a moment late.
    assert 0 in [other.fence(epoch) for _ in range(50)]


def test_a_statement_under_way_shows_where_the_fence_may_read_statistics(
    plan: Plan, server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    grant = take(one)
    with session(plan, grant.user, grant.password) as scheduler, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(scheduler.execute, "SELECT pg_sleep(2)")
        time.sleep(0.1)
        hidden = one.poll(True).busy
        server.sql("GRANT pg_read_all_stats TO airkiln_fence")
        shown = one.poll(True).busy
        under_way.result()
        ended = one.poll(True).busy
    server.sql("REVOKE pg_read_all_stats FROM airkiln_fence")
    assert (hidden, shown, ended) == (False, True, False)


def test_the_job_of_a_dead_scheduler_is_marked_failed(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    epoch = take(one).epoch
    server.sql(
        "INSERT INTO job (job_type, state) VALUES ('SchedulerJob', 'running'), ('TriggererJob', 'running')",
        "airflow",
    )
    assert one.adopt(epoch) == 1
    assert server.sql("SELECT job_type || ' ' || state FROM job ORDER BY id", "airflow").splitlines() == [
        "SchedulerJob failed",
        "TriggererJob running",
    ]


def test_what_airflow_has_run_at_a_takeover_has_none_of_the_fences_rights(
    plan: Plan, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    epoch = take(one).epoch
    with session(plan, "airflow") as owner:
        owner.execute(
            """
            INSERT INTO job (job_type, state) VALUES ('SchedulerJob', 'running');
            CREATE TABLE IF NOT EXISTS ran_as (role text, makes_roles boolean);
            GRANT INSERT ON ran_as TO PUBLIC;
            CREATE OR REPLACE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO public.ran_as SELECT current_user, rolcreaterole FROM pg_roles
                    WHERE rolname = current_user;
                RETURN NEW;
            END $$;
            CREATE OR REPLACE TRIGGER spy BEFORE UPDATE ON job FOR EACH ROW EXECUTE FUNCTION spy();
            """
        )
        one.adopt(epoch)
        assert owner.execute("SELECT * FROM ran_as").fetchall() == [("airkiln_job", False)]
        owner.execute("DROP TRIGGER spy ON job; DROP TABLE ran_as")


def test_a_foreign_session_that_holds_the_schedulers_lock_is_named_and_ended(
    plan: Plan, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    grant = take(one)
    foreign = session(plan, "airflow")
    foreign.autocommit = False
    foreign.execute("SELECT pg_advisory_xact_lock(2)")
    found = one.blocking_locks(grant.epoch)
    assert [(lock.user, lock.held) for lock in found] == [("airflow", "critical section")]
    assert one.end_session(found[0])
    with pytest.raises(psycopg.OperationalError):
        foreign.execute("SELECT 1")
    assert not one.end_session(found[0])


def test_a_superusers_lock_is_named_and_left_and_the_leader_keeps_its_connection(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    grant = take(one)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(
            server.sql, "BEGIN; SELECT pg_advisory_xact_lock(2); SELECT pg_sleep(3); COMMIT", "airflow"
        )
        while not (found := one.blocking_locks(grant.epoch)):
            assert not held.done()
        connection = one.fileno()
        assert [lock.user for lock in found] == ["postgres"]
        assert not one.end_session(found[0])
        assert one.fileno() == connection
        held.result()


def test_the_leaders_own_locks_are_not_foreign(plan: Plan, client: Callable[[str], LeaseClient]) -> None:
    one = client("one")
    grant = take(one)
    own = session(plan, grant.user, grant.password)
    own.autocommit = False
    own.execute("SELECT pg_advisory_xact_lock(2)")
    assert one.blocking_locks(grant.epoch) == []
    own.close()


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
            "UPDATE airkiln.schema_version SET version = 1",
            "has version 99 and this release speaks 1",
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
