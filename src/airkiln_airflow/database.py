"""How long a component waits for a database server that says nothing.

``[database] sql_alchemy_connect_args`` names CONNECT_ARGS; roles/airflow gives the same to Celery's result
backend. Without it a connection to a server that vanished, as in a failover of RDS, hangs until the kernel
gives up, a quarter of an hour later.
"""

from __future__ import annotations

CONNECT_ARGS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""libpq's own keywords: seconds, but for ``keepalives_count`` and ``tcp_user_timeout`` (milliseconds). A
connection that is idle, or waits for an acknowledgement, is given up within 25 s; one that waits for a long
statement's answer is not."""
