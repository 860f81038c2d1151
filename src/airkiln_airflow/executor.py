"""The executor of Airkiln's schedulers: Celery's, which leaves nothing of a dead scheduler queued.

Airflow adopts what a dead scheduler had queued as if it had been sent. What was committed but never sent then
waits until ``task_queued_timeout``, and a queued callback waits without end (3.3.2, celery_executor.py,
``try_adopt_task_instances``, and scheduler_job_runner.py, ``_enqueue_executor_callbacks``). What the broker
lost waits as long, so it is looked for (lost_messages.py).
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.executors.workloads import ExecuteCallback
from airflow.jobs.job import Job, JobState
from airflow.models.callback import CallbackKey, CallbackType, ExecutorCallback
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance, uuid7
from airflow.models.taskreschedule import TaskReschedule
from airflow.providers.celery.executors import celery_executor_utils as celery_utils
from airflow.providers.celery.executors.celery_executor import CeleryExecutor
from airflow.utils import timezone
from airflow.utils.session import create_session
from airflow.utils.state import CallbackState, TaskInstanceState
from celery import states as celery_states
from celery.result import AsyncResult
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.orm import Session, object_session

from airkiln_airflow import lost_messages
from airkiln_airflow.callback_queue import callback_queue

if TYPE_CHECKING:
    from airflow.executors.workloads.types import WorkloadKey

EVENT = "handed back"
"""The event in Airflow's audit log of a task instance that was queued by a scheduler that is dead, or whose
message the broker has lost."""
MOST_AT_ONCE = 500
"""Task instances that are looked for at a time."""


class AirkilnCeleryExecutor(CeleryExecutor):
    """Airflow's Celery executor, with another answer to what a dead scheduler or the broker left queued."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's own
        super().__init__(*args, **kwargs)
        self._looks = lost_messages.Looks()
        self._counting: lost_messages.Counting | None = None
        self._look_at = time.monotonic() + lost_messages.LOOK_EVERY

    def sync(self) -> None:
        """Follow what was sent, as Airflow does; now and then, look for what the broker has lost."""
        super().sync()
        try:
            self._look_for_lost()
        except Exception:  # the loop has more to do than this, and it is done again
            self.log.exception("Looking for lost messages failed; it is tried again")
            self._counting = None

    def _send_workloads(self, workload_tuples_to_send: Sequence[tuple[Any, ...]]) -> None:
        """Send a callback that names no queue to `[operators] default_queue`.

        Airflow sends it to "default" (celery_executor.py, `_process_workloads`), which need not exist.
        """
        default = conf.get("operators", "default_queue")
        super()._send_workloads(
            [
                (key, workload, callback_queue(workload, queue, default), *rest)
                for key, workload, queue, *rest in workload_tuples_to_send
            ]
        )

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Hand queued task instances back for scheduling and adopt the others as Airflow does.

        The scheduler calls this with the rows locked. Nothing that is handed back is returned, because what
        is returned counts as a try and begins anew: Airflow would take one of the task's retries, and the
        place from which a deferred task resumes.
        """
        queued = [ti for ti in tis if ti.state == TaskInstanceState.QUEUED]
        others = [ti for ti in tis if ti.state != TaskInstanceState.QUEUED]
        if queued:
            self._hand_back(queued, object_session(queued[0]), "A dead scheduler had queued it.")
        return super().try_adopt_task_instances(others) if others else []

    def _look_for_lost(self) -> None:
        """Count the messages of queues in which something is queued for long; hand back what has none."""
        counting = self._counting
        if counting is not None:
            if counting.over:
                self._counting = None
                if counting.failure:
                    self.log.warning("The broker's messages cannot be counted: %s", counting.failure)
                self._judge(counting)
            return
        if time.monotonic() < self._look_at or not isinstance(self.job_id, int):
            return
        self._look_at = time.monotonic() + lost_messages.LOOK_EVERY
        with create_session() as session:
            queues = session.scalars(
                select(TaskInstance.queue).where(*self._queued_for_long()).distinct()
            ).all()
        if queues:
            self._counting = lost_messages.Counting(lambda: lost_messages.count(self.celery_app, queues))
        else:
            self._looks.forget()

    def _judge(self, counting: lost_messages.Counting) -> None:
        ti = TaskInstance
        with create_session() as session:
            runs = (
                select(ti.queue, func.count()).where(ti.state == TaskInstanceState.RUNNING).group_by(ti.queue)
            )
            queues = lost_messages.without_message(counting.found, dict(session.execute(runs).all()))
            found = (
                select(ti)
                .where(*self._queued_for_long(), ti.queue.in_(queues))
                .order_by(ti.id)
                .limit(MOST_AT_ONCE)
            )
            ids = [
                each.id
                for each in session.scalars(found)
                if self._serves(each.executor) and each.key not in self.queued_tasks
            ]
            lost = self._looks.look(ids)
            # A worker may have started one meanwhile: it is no longer queued. A locked row cannot start.
            mine = select(ti).where(*self._queued_for_long(), ti.id.in_(lost))
            locked = session.scalars(mine.with_for_update(of=ti, skip_locked=True)).all() if lost else []
            keys = [each.key for each in locked]
            if locked:
                self._hand_back(locked, session, "The broker has no message for it.")
        for key in keys:
            self.running.discard(key)
            self.workloads.pop(key, None)

    def _queued_for_long(self) -> tuple[ColumnElement[bool], ...]:
        before = datetime.now(UTC) - timedelta(seconds=lost_messages.QUEUED_FOR)
        return (
            TaskInstance.state == TaskInstanceState.QUEUED,
            TaskInstance.queued_by_job_id == self.job_id,
            TaskInstance.queued_dttm < before,
        )

    def _hand_back(self, tis: Sequence[TaskInstance], session: Session, reason: str) -> None:
        """Make queued task instances scheduled ones under new ids, on the same try.

        A message that was sent after all names the old id, and the task execution API, which waits for the
        row's lock, then knows no such task instance (404): the worker drops it.
        """
        names = {ti.id: uuid7() for ti in tis}
        # A sensor's waits so far count towards its time-out. They refer to the id without following it.
        waits = TaskReschedule.__table__
        reschedules = session.execute(select(waits).where(waits.c.ti_id.in_(names))).mappings().all()
        if reschedules:
            session.execute(delete(waits).where(waits.c.ti_id.in_(names)))
        for ti in tis:
            ti.id = names[ti.id]
            ti.state = TaskInstanceState.SCHEDULED
            ti.scheduled_dttm = timezone.utcnow()
            ti.queued_dttm = None
            ti.queued_by_job_id = None
            ti.external_executor_id = None
            # Not log_task_event(): 3.3.2 loses the values of what it is given before they are written.
            session.add(Log(event=EVENT, task_instance=ti.key, extra=f"{reason} No try is counted."))
        session.flush()
        if reschedules:
            session.execute(insert(waits), [{**row, "ti_id": names[row["ti_id"]]} for row in reschedules])
        listed = "\n\t".join(map(repr, tis))
        self.log.info("Handed back %d queued tasks: %s\n\t%s", len(tis), reason, listed)

    def start(self) -> None:
        """Take over the callbacks that a dead scheduler left queued, unless another scheduler runs."""
        super().start()
        if isinstance(self.job_id, int):
            with create_session() as session:
                self._take_over_callbacks(session)

    def _take_over_callbacks(self, session: Session) -> None:
        """Have queued callbacks that no worker began queued again, and follow the others to their end.

        Nothing in a callback's row says whose it is, so beside another scheduler they are left alone. One
        whose message still lies in the broker may run twice: Airflow has no lock that starts it once.
        """
        scheduler = select(Job.id).where(Job.job_type == "SchedulerJob", Job.state == JobState.RUNNING)
        if session.scalar(scheduler.where(Job.id != self.job_id).limit(1)) is not None:
            return
        query = select(ExecutorCallback).where(
            ExecutorCallback.type == CallbackType.EXECUTOR, ExecutorCallback.state == CallbackState.QUEUED
        )
        callbacks = [
            callback
            for callback in session.scalars(query.with_for_update(skip_locked=True))
            if self._serves(callback.get_executor_name())
        ]
        if not callbacks:
            return
        results = {callback.id: AsyncResult(str(callback.id), app=self.celery_app) for callback in callbacks}
        states = self.bulk_state_fetcher.get_many(results.values())
        for callback in callbacks:
            state, info = states[str(callback.id)]
            if state == celery_states.PENDING:
                callback.state = CallbackState.PENDING
            else:
                key = CallbackKey(id=str(callback.id))
                self.workloads[key] = results[callback.id]
                self.running.add(key)
                self.update_task_state(key, state, info)
            self.log.info("A dead scheduler had queued callback %s; Celery says %s", callback.id, state)

    def _serves(self, executor: str | None) -> bool:
        """Whether what names this executor, or none, is this executor's: Airflow's own rule of names."""
        if executor is None:
            return True
        path = self.name.module_path
        return executor in (self.name.alias, path, path.rpartition(".")[2])

    def _send_workloads_to_celery(self, workload_tuples_to_send: Sequence[Any]) -> list[Any]:
        """Send callbacks with an id that a later scheduler can know, and tasks as Airflow does."""
        callbacks = [item for item in workload_tuples_to_send if isinstance(item[1], ExecuteCallback)]
        tasks = [item for item in workload_tuples_to_send if not isinstance(item[1], ExecuteCallback)]
        sent = [self._send_callback(*item) for item in callbacks]
        return sent + list(super()._send_workloads_to_celery(tasks)) if tasks else sent

    def _send_callback(
        self, key: WorkloadKey, workload: ExecuteCallback, queue: str | None, _team: str | None
    ) -> tuple[Any, ...]:
        """Send one callback under its own id, which Airflow leaves to chance; answer as Airflow does."""
        arguments = (workload.model_dump_json(),)
        task = self.celery_app.tasks["execute_workload"]
        try:
            with celery_utils.timeout(seconds=celery_utils.OPERATION_TIMEOUT):
                result = task.apply_async(args=arguments, queue=queue, task_id=workload.callback.id)
        except (Exception, celery_utils.AirflowTaskTimeout) as error:
            text = f"Celery task id: {workload.callback.id}\n{traceback.format_exc()}"
            result = celery_utils.ExceptionWithTraceback(error, text)
        return key, arguments, result
