"""Old rows leave Airflow's own database by the leader's hand."""

from __future__ import annotations

import pytest

from rehearsal.chaos.observer import Observer
from rehearsal.deployment.cluster import Cluster
from rehearsal.linux.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.image]

AGE = """
UPDATE dag_run SET start_date = start_date - interval '1 year', end_date = end_date - interval '1 year'
 WHERE id = (SELECT min(id) FROM dag_run WHERE state = 'success' AND run_type = 'manual') RETURNING id
"""


def clean(machine: Machine) -> str:
    """Run the command of airkiln-retention.service with the parameter set."""
    shell = (
        "set -a; . /etc/airkiln/airflow.env; . /run/airkiln/airflow.env; AIRKILN_RETENTION_DAYS=30; "
        "AIRKILN_GATE=/run/airkiln-failover/gate; HOME=/tmp; exec /opt/airkiln/bin/airkiln database clean"
    )
    done = machine.execute(["sh", "-c", shell])
    return done.stdout + done.stderr


def test_the_leader_removes_an_old_run_with_its_task_instances_and_a_standby_nothing(
    cluster: Cluster, observer: Observer
) -> None:
    leader = observer.leader().host
    (standby,) = (host for host in cluster.schedulers if host.name != leader.name)
    old = cluster.postgres.sql(AGE, "airflow").split()[0]
    assert "does not lead" in clean(standby.machine)
    asked = f"SELECT count(*) FROM dag_run WHERE id = {old}"
    assert cluster.postgres.sql(asked, "airflow").strip() == "1"
    assert "event=cleaned table=dag_run rows=1" in clean(leader.machine)
    assert cluster.postgres.sql(asked, "airflow").strip() == "0"


def test_the_timer_runs_where_the_scheduler_does(cluster: Cluster) -> None:
    for host in cluster.schedulers:
        assert host.systemctl("is-active", "airkiln-retention.timer").strip() == "active"
