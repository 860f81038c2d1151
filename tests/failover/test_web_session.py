"""A worker cannot make a cookie with which the web server takes it for a user."""

from __future__ import annotations

import hmac
import re
import urllib.error
import urllib.request

import pytest

from rehearsal.chaos.bench import Bench
from rehearsal.deployment.host import Host
from rehearsal.deployment.parameters import NAME, parameter

pytestmark = [pytest.mark.root, pytest.mark.image]

USERS = [str(number) for number in range(1, 4)]
"""The first users of a new environment; the administrator is among them."""
PURPOSE = b"airkiln: web sessions"
PRINT_ALL = r"env; cat /run/airkiln/*.env; for p in /proc/[0-9]*/environ; do tr '\0' '\n' <$p; done; true"
AS_A_TASK = [
    *("systemd-run", "--quiet", "--pipe", "--wait", "--property=User=airflow"),
    "--property=EnvironmentFile=/run/airkiln/airflow-worker.env",
]


def readable(host: Host) -> set[str]:
    """Every value that a task has in its environment, or can read in files and in that of other processes."""
    command = [*AS_A_TASK, "sh", "-c", f"{{ {PRINT_ALL}; }} 2>/dev/null"]
    lines = host.machine.execute(command).stdout.splitlines()
    values = {line.partition("=")[2] for line in lines if "=" in line}
    return values | {value.strip('"') for value in values}


def cookie(key: bytes, user: str) -> str:
    """Flask-Login's `remember_token` (flask_login.utils.encode_cookie)."""
    return f"{user}|{hmac.digest(key, user.encode(), 'sha512').hex()}"


def logged_in(bench: Bench, value: str) -> bool:
    """Whether the list of users is shown to a browser with this cookie; others are sent to the login."""
    request = urllib.request.Request(
        f"{bench.cluster.airflow.url}/auth/users/list/", headers={"Cookie": f"remember_token={value}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return "/login" not in answer.url and bool(re.search("admin", answer.read().decode()))
    except urllib.error.HTTPError:
        return False


def test_nothing_that_a_worker_can_read_logs_in(bench: Bench) -> None:
    found = readable(bench.cluster.own_worker)
    assert parameter("common/AIRFLOW__API__SECRET_KEY") in found, f"{NAME}: nothing was read"
    keys = [value.encode() for value in found if value]
    keys += [hmac.digest(key, PURPOSE, "sha256").hex().encode() for key in keys]
    long = [key for key in keys if len(key) >= 16]
    assert [user for user in USERS for key in long if logged_in(bench, cookie(key, user))] == []


def test_the_key_of_the_web_server_logs_in(bench: Bench) -> None:
    """Otherwise the test above would prove nothing."""
    secret = parameter("webserver/AIRFLOW__API_AUTH__JWT_SECRET").encode()
    key = hmac.digest(secret, PURPOSE, "sha256").hex().encode()
    assert any(logged_in(bench, cookie(key, user)) for user in USERS)
