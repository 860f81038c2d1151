"""The peer is Airflow at its defaults, not at ours."""

from __future__ import annotations

import yaml

from rehearsal.deployment.cluster import AIRFLOWS_OWN
from rehearsal.region import REPOSITORY

OURS = (
    "AIRFLOW__CELERY__TASK_",
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__EXECUTION_API__",
    "AIRFLOW__SCHEDULER__",
)
"""Options that decide how Airflow bears a failure begin so, and all of its workers' do."""


def test_what_the_image_sets_about_failures_is_given_back_to_the_peer() -> None:
    defaults = yaml.safe_load((REPOSITORY / "roles/airflow/defaults/main.yml").read_text())
    ours = {
        name: value
        for name, value in defaults["airflow_configuration"].items()
        if name.startswith((*OURS, "AIRFLOW__WORKERS__"))
    }
    assert ours.keys() == AIRFLOWS_OWN.keys()
    assert not ours.items() & AIRFLOWS_OWN.items()
