"""A PostgreSQL 17 of these tests' own, prepared as the database step does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airkiln.database import prepare as preparing
from airkiln.database.prepare import Plan
from airkiln.failover.lease import LeaseClient
from rehearsal.aws import authority
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.aws.session import down, start
from rehearsal.linux.network import Network
from tests.database.support import AIRFLOWS_TABLES, AUTHORITY, LIMITS, VARIABLES, session, the_plan
from tests.support.regions import DATABASE


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL 17 of these tests' own: roles belong to a server, not to a database."""
    down(DATABASE)
    try:
        start(DATABASE)
        postgres = Postgres(DATABASE)
        postgres.start()
        AUTHORITY.write_text(authority.certificate())
        postgres.create_administrator(preparing.DEFAULT_ADMIN, VARIABLES[preparing.ADMIN_PASSWORD])
        with Network(DATABASE).visit():
            yield postgres
    finally:
        AUTHORITY.unlink(missing_ok=True)
        down(DATABASE)


@pytest.fixture(scope="session")
def plan(server: Postgres) -> Plan:
    """A database as the database step leaves it."""
    plan = the_plan()
    preparing.prepare(plan)
    with session(plan, "airflow") as owner:
        owner.execute(AIRFLOWS_TABLES)
    preparing.grant(plan)
    assert server.machine.running()
    return plan


@pytest.fixture
def client(plan: Plan, server: Postgres) -> Iterator[Callable[[str], LeaseClient]]:
    """Makes controllers by their host's name, on a lease that nobody holds."""
    server.sql(
        "UPDATE airkiln.lease SET expires_at = 'epoch', paused = false, switchover_to = NULL; "
        "DELETE FROM airkiln.host; DELETE FROM job",
        "airflow",
    )
    made: list[LeaseClient] = []

    def make(host: str) -> LeaseClient:
        keywords = plan.target.keywords(preparing.CONTROLLER, plan.controller_password)
        made.append(LeaseClient(keywords, host, f"{host}/1", LIMITS))
        return made[-1]

    yield make
    for each in made:
        each.close()
