"""The key that signs web sessions: `/etc/airkiln/webserver_config.py` in the image asks for it.

Airflow's FAB provider signs sessions with `[api] secret_key`. Workers hold that key too, because the web
server signs its requests for the logs of running tasks with it, and Flask-Login accepts a cookie
`remember_token` of the form `<user id>|HMAC-SHA512(key, user id)`: code on a worker could log in as anybody.
The key of sessions is therefore derived from the key that signs Airflow's API tokens, which no worker has.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from pathlib import Path

PURPOSE = b"airkiln: web sessions"
"""Separates this key from what the same secret signs elsewhere."""


def session_key(get: Callable[..., str | None]) -> str:
    """The key of Flask's sessions, the same on every web server of an environment.

    :param get: `airflow.configuration.conf.get`, which also follows `_CMD` and `_SECRET`.
    :returns: 64 hexadecimal digits. Without a key for tokens, as in the database step, they are this
        process's own; a web server without one does not start.
    :raises OSError: the file of the private key cannot be read.
    """
    path = get("api_auth", "jwt_private_key_path", fallback=None)
    secret = Path(path).read_bytes() if path else (get("api_auth", "jwt_secret", fallback="") or "").encode()
    return hmac.digest(secret if secret.strip() else os.urandom(32), PURPOSE, "sha256").hex()
