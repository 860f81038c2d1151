"""Rules of the functions in the database that tests of it cannot reach: a full queue of notifications."""

from __future__ import annotations

import re
from importlib.resources import files

SOURCE = files("airkiln.database").joinpath("sql/functions.sql").read_text(encoding="utf-8")
BODY = re.compile(r"^CREATE FUNCTION airkiln\.(\w+)\(.*?\n\$\$;?$", re.MULTILINE | re.DOTALL)
FUNCTIONS = {found[1]: found[0] for found in BODY.finditer(SOURCE)}


def test_who_takes_or_releases_the_lease_notifies_nobody_where_the_queue_is_half_full() -> None:
    """A full queue refuses the commit, and a worker can fill it: nobody would lead then."""
    assert {name for name, body in FUNCTIONS.items() if re.search(r"\bpg_notify\b|\bNOTIFY\b", body)} == {
        "wake"
    }
    assert re.search(
        r"IF pg_notification_queue_usage\(\) < 0\.5 THEN\s+PERFORM pg_notify\(channel, p_what\)",
        FUNCTIONS["wake"],
    )
    woken = {name for name, body in FUNCTIONS.items() if "airkiln.wake(" in body and name != "wake"}
    assert woken == {"acquire", "release", "request"}


def test_every_function_for_controllers_has_its_owners_rights_and_a_search_path_of_its_own() -> None:
    assert len(FUNCTIONS) > 12
    for name, body in FUNCTIONS.items():
        assert "SET search_path = pg_catalog, pg_temp" in body, name
