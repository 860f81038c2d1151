"""Celery's configuration, ``[celery] celery_config_options``: Airflow's own, and readiness for systemd.

A worker is ready when its consumer reads the queue, which is what Celery's ``worker_ready`` says.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery.signals import worker_ready

from airkiln_airflow.readiness import notify_ready

CELERY_CONFIG: dict[str, Any] = DEFAULT_CELERY_CONFIG


@worker_ready.connect
def _on_worker_ready(**_: object) -> None:
    notify_ready("consuming")
