"""A changed password of the controllers reaches both of them on every scheduler host, by a reload."""

from __future__ import annotations

import secrets

import pytest

from airkiln.database import controller
from airkiln.roles import AUTOSCALE_UNIT
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import CONTROLLER_UNIT, load_parameters_again
from rehearsal.deployment.parameters import put

pytestmark = [pytest.mark.root, pytest.mark.image]

SESSIONS = """
SELECT DISTINCT client_addr FROM pg_stat_activity
 WHERE usename = 'airkiln_controller' AND application_name = 'airkiln-failover' AND backend_start > '{}'
"""


def test_after_a_reload_the_controllers_log_in_with_the_changed_password(
    cluster: Cluster, observer: Observer
) -> None:
    wait_until_ready(observer)
    before = {pid for host in cluster.schedulers for pid in host.processes(AUTOSCALE_UNIT)}
    password = secrets.token_urlsafe(24)
    put({folder: {controller.PASSWORD: password} for folder in ("scheduler", "database")})
    cluster.postgres.create_role(controller.USER, password)
    changed_at = cluster.postgres.sql("SELECT clock_timestamp()")
    load_parameters_again(dict.fromkeys(cluster.schedulers, CONTROLLER_UNIT))
    wait_until_ready(observer)
    observer.wait_until(
        "the failover controller of every host is logged in",
        lambda: (
            set(cluster.postgres.sql(SESSIONS.format(changed_at)).split())
            == {host.address for host in cluster.schedulers}
        ),
        60,
    )
    leader = observer.leader().host

    def counts() -> bool:
        status = leader.systemctl("show", "--value", "--property=StatusText", AUTOSCALE_UNIT)
        return not before & set(leader.processes(AUTOSCALE_UNIT)) and "pools," in status

    observer.wait_until("the leader's autoscaler, another process, has asked for what is queued", counts, 60)
