"""The fence: what an older epoch can no longer do, and who holds what a scheduler needs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors

from airkiln.database.prepare import Plan
from airkiln.errors import DeniedError
from airkiln.failover.lease import EpochOverError, LeaseClient
from rehearsal.aws.services.rds.postgres import Postgres
from tests.database.support import expire, session, take
from tests.support.waiting import until

pytestmark = pytest.mark.root


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


def test_a_role_of_such_a_name_that_somebody_else_made_holds_up_nobody(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    epoch = take(one).epoch
    expire(server)
    server.sql(f"CREATE ROLE airflow_scheduler_{epoch + 7} LOGIN")
    try:
        assert take(one).epoch == epoch + 8
    finally:
        server.sql(f"DROP ROLE airflow_scheduler_{epoch + 7}")


def test_a_role_of_such_a_name_that_can_write_as_airflow_is_named_and_nobody_leads(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    epoch = take(one).epoch
    expire(server)
    server.sql(
        f"CREATE ROLE airflow_scheduler_{epoch + 7} LOGIN; GRANT airflow TO airflow_scheduler_{epoch + 7}"
    )
    try:
        with pytest.raises(DeniedError, match=f"airflow_scheduler_{epoch + 7} can write as airflow"):
            one.acquire()
    finally:
        server.sql(f"DROP ROLE airflow_scheduler_{epoch + 7}")
    assert take(one).epoch == epoch + 1


def test_a_membership_that_somebody_else_granted_does_not_survive_the_fence(
    plan: Plan, server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    old = take(one)
    server.sql(f"GRANT airflow TO {old.user}")
    with session(plan, old.user, old.password) as scheduler:
        expire(server)
        new = take(one)
        with pytest.raises(psycopg.Error):
            scheduler.execute("INSERT INTO task_instance (id) VALUES (1)")
        until(lambda: one.fence(new.epoch) == 0, lambda: "sessions are left", 10, every=0.01)
    assert server.sql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{old.user}'") == "0"


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


def test_a_statement_under_way_shows_with_the_rights_that_rds_passes_on(
    plan: Plan, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    grant = take(one)
    with session(plan, grant.user, grant.password) as scheduler, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(scheduler.execute, "SELECT pg_sleep(2)")
        until(lambda: one.progress(grant.epoch).busy, lambda: "it never shows", 2, every=0.05)
        under_way.result()
        assert not one.progress(grant.epoch).busy


def test_a_statement_of_the_dag_processor_says_nothing_of_the_scheduler(
    plan: Plan, client: Callable[[str], LeaseClient], server: Postgres
) -> None:
    one = client("one")
    grant = take(one)
    asks = """
        SELECT count(*) FROM pg_stat_activity
         WHERE application_name = 'airflow-dag-processor' AND state = 'active'
    """
    with session(plan, grant.user, grant.password) as processor, ThreadPoolExecutor(1) as pool:
        processor.execute("SET application_name = 'airflow-dag-processor'")
        under_way = pool.submit(processor.execute, "SELECT pg_sleep(60)")
        until(lambda: server.sql(asks) == "1", lambda: "it never shows", 5, every=0.05)
        assert not one.progress(grant.epoch).busy
        processor.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            under_way.result()


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
    assert one.end_session(grant.epoch, found[0])
    with pytest.raises(psycopg.OperationalError):
        foreign.execute("SELECT 1")
    assert not one.end_session(grant.epoch, found[0])


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
        assert not one.end_session(grant.epoch, found[0])
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
