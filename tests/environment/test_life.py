"""An environment is interrupted while it is made, looked at, destroyed and deployed again; its data stay."""

from __future__ import annotations

import pytest

from rehearsal.commands.up import DAG
from rehearsal.deployment.airflow_api import Airflow
from tests.environment.deployed import ROLES, Deployed

pytestmark = [pytest.mark.root, pytest.mark.image]

USER = ("ann", "Correct-horse-9")


class TestAnInterruptedDeployment:
    """Ctrl-C while instances boot; the environment of these tests is what the next runs made of it."""

    def test_it_ends_at_once_and_says_how_to_go_on(self, deployed: Deployed) -> None:
        for interruption in deployed.interruptions:
            assert interruption.status == 130, interruption.said
            assert f"{deployed.region.make('rehearse')} continues from here" in interruption.said
            assert "Traceback" not in interruption.said

    def test_what_it_had_begun_is_continued_and_not_made_again(self, deployed: Deployed) -> None:
        assert deployed.launched == dict.fromkeys(ROLES, 1)


class TestALook:
    """deploy.yml with --check."""

    def test_it_finds_nothing_where_nothing_changes(self, deployed: Deployed) -> None:
        before = deployed.kept()
        assert deployed.playbook("deploy", "--check") == {"changed": 0, "failed": 0}
        assert deployed.kept() == before

    def test_it_shows_changes_and_makes_none(self, deployed: Deployed) -> None:
        before = deployed.kept()
        changed = '{"airkiln_retention_days": 30, "airkiln_pools": {"default": {"slots": 5}, "batch": {}}}'
        looked = deployed.playbook("deploy", "--check", "--extra-vars", changed)
        assert looked["changed"] > 0
        assert looked["failed"] == 0
        assert deployed.kept() == before


def test_users_variables_and_runs_survive_a_destruction(deployed: Deployed) -> None:
    username, password = USER
    deployed.airflow.set_variable("kept", "value")
    words = ["airflow", "users", "create", "--role", "Viewer", "--username", username, "--password", password]
    person = ["--firstname", "Ann", "--lastname", "Other", "--email", "ann@example.com"]
    deployed.machine("webserver").execute([*words, *person])
    runs = {run["dag_run_id"] for run in deployed.airflow.runs(DAG)}

    assert deployed.playbook("destroy", "--extra-vars", "destroy=local")["failed"] == 0
    assert [row.role for row in deployed.table] == ["database"]
    deployed.output = deployed.run()

    again = Airflow(deployed.url, *deployed.login)
    assert again.variable("kept") == "value"
    assert runs < {run["dag_run_id"] for run in again.runs(DAG)}
    assert Airflow(deployed.url, username, password).knows(DAG)
