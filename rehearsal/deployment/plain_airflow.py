"""Airflow without Airkiln's failover controller, at Airflow's own defaults: the benchmarks' peer."""

from __future__ import annotations

AIRFLOW_DEFAULTS = {
    "AIRFLOW__CELERY__TASK_PUBLISH_MAX_RETRIES": "3",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": "600",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "300.0",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "600.0",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "5",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "90.0",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "3",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
}
"""The defaults of what the image sets otherwise (config.yml of Airflow 3.3.2, and the Celery provider's).
Without them the peer would be measured with Airkiln's settings."""

WITHOUT_CONTROLLER = """\
#cloud-config
bootcmd:
  - rm -f /etc/systemd/system/airkiln-scheduler.target.d/20-failover.conf
  - rm -f /etc/systemd/system/airflow-scheduler.service.d/40-failover.conf
  - rm -f /etc/systemd/system/airflow-dag-processor.service.d/40-failover.conf
  - mkdir -p /etc/systemd/system/airkiln-scheduler.target.d
  - "printf '[Unit]\\nWants=airflow-dag-processor.service\\n' \
> /etc/systemd/system/airkiln-scheduler.target.d/20-failover.conf"
  - systemctl daemon-reload
"""
"""User data for a scheduler host of an image with the controller: it boots as if the image had been baked
without one (`failover_controller_mode: off`)."""
