"""`airkiln database wait`: returns when the metadata database accepts connections and has Airflow's schema.

A component that starts while the database is away, or has the schema of another release, fails, is restarted,
and fails again. Waiting in one start keeps the journal readable and the unit's restart counter meaningful.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from airkiln.database import revision
from airkiln.database.connect import connect
from airkiln.database.target import parse
from airkiln.errors import RefusedError, UnavailableError
from airkiln.roles import DATABASE
from airkiln.systemd.journal import RateLimit, say

PAUSE = 0.5
"""Seconds between two attempts: what waits goes on soon after the database is back."""
SCHEMA_PAUSE = 5.0
"""Seconds between two looks at the schema: a person or a deployment has to act."""
REMINDER = 60.0
"""Seconds between two lines that say that it is still waited for."""


def wait(environment: Mapping[str, str]) -> None:
    """Wait without a limit. Raises RefusedError and DeniedError where waiting does not help."""
    url = environment.get(DATABASE, "")
    if not url:
        raise RefusedError([f"{DATABASE}: missing: nothing says where the metadata database is"])
    target = parse(url)
    keywords = target.keywords(target.user, target.password)
    image = revision.of_image(environment)
    began = time.monotonic()
    reminder, waited = RateLimit(REMINDER), False
    while True:
        try:
            with connect(keywords, limit=2) as connection:
                misfit = revision.misfit(connection, image)
        except UnavailableError as error:
            reminder.say("database", f"waiting for the database: {error}")
            waited = True
            time.sleep(PAUSE)
            continue
        if misfit is None:
            break
        reminder.say("schema", f"waiting for the schema: database {target.address}: {misfit}")
        waited = True
        time.sleep(SCHEMA_PAUSE)
    if waited:
        say(f"database {target.address}: is ready after {time.monotonic() - began:.0f} s")
