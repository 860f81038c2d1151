"""A task on the queue of a second pool, and a task that waits in the triggerer."""

from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG

with DAG("second_pool", schedule=None, catchup=False, is_paused_upon_creation=False):
    PythonOperator(
        task_id="on_batch", python_callable=print, op_args=["printed on the second pool"], queue="batch"
    )
    DateTimeSensorAsync(
        task_id="deferred", target_time="{{ dag_run.run_after + macros.timedelta(seconds=12) }}"
    )
