"""The peer is Airflow at its defaults, not at ours."""

from __future__ import annotations

import yaml

from rehearsal.deployment.plain_airflow import AIRFLOW_DEFAULTS
from rehearsal.region import REPOSITORY

OURS = (
    "AIRFLOW__CELERY__TASK_",
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__EXECUTION_API__",
    "AIRFLOW__SCHEDULER__",
)
"""How the names of options begin that decide what Airflow does after a failure."""


def test_what_the_image_sets_about_failures_is_reset_for_the_peer() -> None:
    defaults = yaml.safe_load((REPOSITORY / "roles/airflow/defaults/main.yml").read_text())
    ours = {
        name: value
        for name, value in defaults["airflow_configuration"].items()
        if name.startswith((*OURS, "AIRFLOW__WORKERS__"))
    }
    assert ours.keys() == AIRFLOW_DEFAULTS.keys()
    assert not ours.items() & AIRFLOW_DEFAULTS.items()
