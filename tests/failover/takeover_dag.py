"""A DAG of tasks that do not depend on each other; `takeover.py` has each in another state."""

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

with DAG("takeover", schedule=None, catchup=False, is_paused_upon_creation=False):
    for name in ("never_sent", "resumes", "waits", "runs", "ended"):
        PythonOperator(task_id=name, python_callable=print)
