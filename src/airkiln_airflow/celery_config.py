"""Celery's configuration, ``[celery] celery_config_options``: Airflow's own, and what Airkiln adds to it.

- A worker is ready for systemd when its consumer reads the queue: Celery's ``worker_ready`` says so.
- A worker that stops runs the messages of its last poll (last_poll.py).
- A worker retries to store a result without a limit. Celery gives up after three attempts and acknowledges
  the message, so a task that was received while the database was away would stay queued until
  ``task_queued_timeout``.
- A worker keeps no connection to the database between two results: every process of every worker would hold
  one, and the server's are few.
- A message whose token has expired is left to the scheduler, which queues again what is queued for too long.
  Airflow would report a failure, also where the message is a copy and the task runs in good health.
- A worker says which task instances it runs (running_tasks.py).
- A copy of a message whose task has ended is one line in the journal, not a traceback.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import jwt
from airflow.configuration import conf
from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery.exceptions import Ignore
from celery.signals import celeryd_init, task_postrun, task_prerun, worker_ready
from sqlalchemy.pool import NullPool

from airkiln_airflow import outage, running_tasks
from airkiln_airflow.last_poll import LastPoll
from airkiln_airflow.readiness import notify_ready

NOTHING_TO_RUN = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.GONE)
"""Responses to a request to run a task instance that is unknown, or not queued."""

log = logging.getLogger(__name__)
_last_poll = LastPoll()


def leave_what_has_expired(_task: object, task_id: str, args: Sequence[str], _kwargs: object) -> None:
    """Drop a message whose token has expired: ``before_start`` of Celery's task ``execute_workload``.

    The signature is for the task execution API to check; this only finds out whether it would refuse.

    :raises Ignore: Celery acknowledges the message then, and records no result.
    """
    token = str(json.loads(args[0]).get("token", ""))
    try:
        jwt.decode(
            token,
            options={"verify_signature": False, "verify_exp": True},
            leeway=conf.getint("api_auth", "jwt_leeway"),
        )
    except jwt.ExpiredSignatureError:
        log.warning(
            "[%s] The token of this message has expired, so it starts nothing; if its task is still queued, "
            "the scheduler queues it again ([scheduler] task_queued_timeout)",
            task_id,
        )
        raise Ignore from None
    except jwt.InvalidTokenError:
        return  # for Airflow to refuse, which names the reason


def name_what_is_refused(record: logging.LogRecord) -> bool:
    """Say of a message for which there is nothing to run that it is so: a filter of ``celery.app.trace``."""
    error = record.exc_info[1] if record.exc_info else None
    status = getattr(getattr(error, "response", None), "status_code", None)
    if type(error).__name__ == "ServerResponseError" and status in NOTHING_TO_RUN:
        record.msg = (
            f"The task execution API answers {status}: this message's task instance has ended, or was queued "
            "anew by another message"
        )
        record.args, record.exc_info, record.exc_text = None, None, None
    return True


CELERY_CONFIG: dict[str, Any] = DEFAULT_CELERY_CONFIG | {
    "task_annotations": {"execute_workload": {"before_start": leave_what_has_expired}},
}


@celeryd_init.connect
def _on_worker_start(instance: Any, **_: object) -> None:  # noqa: ANN401 - Celery's worker has no type
    # Not in the configuration above: a scheduler that asks for a result must not wait for a database.
    instance.app.conf.result_backend_always_retry = True
    # Airflow's command has made the main thread's backend already; the tasks' processes inherit that one.
    instance.app.backend.always_retry = True
    options = dict(instance.app.conf.database_engine_options or {}, poolclass=NullPool)
    instance.app.conf.database_engine_options = options
    if hasattr(instance.app.backend, "engine_options"):  # results in Redis have none
        instance.app.backend.engine_options = dict(instance.app.backend.engine_options, **options)
    outage.shorten("celery.backends.database")
    running_tasks.forget_all()
    logging.getLogger("celery.app.trace").addFilter(name_what_is_refused)


@worker_ready.connect
def _on_worker_ready(sender: Any, **_: object) -> None:  # noqa: ANN401 - Celery's consumer has no type
    _last_poll.watch(sender)
    notify_ready("consuming")


@task_prerun.connect
def _on_task(args: Sequence[str], **_: object) -> None:
    if args:
        running_tasks.record(args[0])


@task_postrun.connect
def _after_task(**_: object) -> None:
    running_tasks.forget()
