"""The executor of Airkiln's schedulers: Airflow's Celery executor, which leaves nothing of a dead scheduler queued.
"""

from __future__ import annotations

from airflow.providers.celery.executors.celery_executor import CeleryExecutor


class AirkilnCeleryExecutor(CeleryExecutor):
    """Airflow's Celery executor."""
