"""`airkiln failover run|status|switchover|pause|resume|free|clean-up`."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg

from airkiln.database import controller, revision, schema
from airkiln.database.connect import Connection, connect, explain
from airkiln.errors import AirkilnError, RefusedError, UnavailableError
from airkiln.failover.backlog import read_backlog
from airkiln.failover.config import Timings, load
from airkiln.failover.control_groups import ControlGroups
from airkiln.failover.lease import LeaseClient
from airkiln.failover.model import Phase
from airkiln.failover.runtime import RuntimeDirectory
from airkiln.host import daemon, instance
from airkiln.host.environment import read_optional
from airkiln.host.layout import Layout
from airkiln.host.notices import NoticeWatcher
from airkiln.systemd.journal import ERROR, WARNING, say

CLEAN_UP_TIMEOUT = 1.0
"""Seconds for the release after the controller's end. Without it the lease ends by itself."""
KILL_POLLS = 40
"""Checks, 10 ms apart, of whether a kill has ended everything."""

_STATUS = """
SELECT l.holder, l.epoch, l.seq, airkiln.remaining(l), l.paused, l.switchover_to, l.reason
  FROM airkiln.lease l
"""
_MEMBERS = """
SELECT host, ready, extract(epoch FROM clock_timestamp() - seen_at)::float,
       seen_at > clock_timestamp() - make_interval(secs => fresh_for) FROM airkiln.host ORDER BY host
"""


def run(_options: argparse.Namespace) -> None:
    """Run the controller."""
    with daemon.starting():
        _run()


def _run() -> None:
    from airkiln.failover.broker import BrokerProbe  # noqa: PLC0415 - the other commands do without it
    from airkiln.failover.daemon import Daemon, Parts  # noqa: PLC0415
    from airkiln.failover.reporting import Reporter  # noqa: PLC0415

    layout, directory = Layout(), RuntimeDirectory()
    variables = controller.variables(layout)
    timings = timings_of(layout, variables)
    keywords = controller.keywords(variables)
    here = instance.read(layout)
    directory.path.mkdir(mode=0o750, parents=True, exist_ok=True)
    with _only_one(directory):
        _check(keywords)
        image = revision.of_image(variables)
        watcher = NoticeWatcher(known=here)
        Daemon(
            Parts(
                here,
                variables,
                directory,
                timings,
                make_client=lambda holder: LeaseClient(keywords, here.host, holder, timings, image),
                reporter=Reporter(lambda: watcher.instance, lambda: read_backlog(keywords)),
                probe=BrokerProbe(lambda: controller.variables(layout)),
                watcher=watcher,
            )
        ).run()


@contextmanager
def _only_one(directory: RuntimeDirectory) -> Iterator[None]:
    descriptor = os.open(directory.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RefusedError(
            [
                f"{directory.lock}: locked: another failover controller runs on this host: `systemctl status "
                "airkiln-failover` shows it; stop that one first"
            ]
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _check(keywords: dict[str, str]) -> None:
    """Refuse a start that cannot succeed. A database that is away does not prevent it."""
    try:
        with _session(keywords):
            pass
    except UnavailableError as error:
        say(f"event=waiting reason={error}", WARNING)


@contextmanager
def _session(keywords: dict[str, str]) -> Iterator[Connection]:
    """A connection to a database that has this release's lease table. Raises what `explain` says."""
    try:
        with connect(keywords, limit=2) as connection:
            _check_version(connection)
            yield connection
    except psycopg.Error as error:
        raise explain(error, keywords) from None


def _check_version(connection: Connection) -> None:
    row = connection.execute("SELECT to_regclass('airkiln.schema_version') IS NOT NULL").fetchone()
    if not row or not row[0]:
        raise RefusedError(
            ["the lease table is missing in the database: run the database step (`airkiln database prepare`)"]
        )
    row = connection.execute("SELECT version FROM airkiln.schema_version").fetchone()
    if not row or row[0] != schema.VERSION:
        raise RefusedError(
            [
                f"the lease table has version {row[0] if row else None} and this release needs "
                f"{schema.VERSION}: run the database step of this release"
            ]
        )


def status(options: argparse.Namespace) -> None:
    """Show who leads, and which hosts are ready."""
    with _session(_keywords()) as session:
        found = read_status(session)
    sys.stdout.write(json.dumps(found, indent=2) + "\n" if options.json else describe(found))


def read_status(session: Connection) -> dict[str, Any]:
    """The lease and the hosts, as the database has them."""
    lease = session.execute(_STATUS).fetchone()
    members = session.execute(_MEMBERS).fetchall()
    if lease is None:
        raise RefusedError(
            ["the lease table has no row: run `airkiln database prepare` in the database step"]
        )
    holder, epoch, seq, remaining, paused, wanted, reason = lease
    host = instance.read(Layout()).host
    held = remaining > 0
    leader = str(holder).partition("/")[0] if held else None
    return {
        "leader": leader,
        "holder": holder if held else None,
        "epoch": epoch,
        "seq": seq,
        "remaining": round(max(remaining, 0.0), 2),
        "paused": paused,
        "switchover_to": wanted,
        "reason": reason,
        "host": host,
        "phase": (Phase.LEADING if leader == host else Phase.STANDBY).value,
        "members": [
            {"host": name, "ready": ready and fresh, "seen": round(seen, 1), "leads": name == leader}
            for name, ready, seen, fresh in members
        ],
    }


def describe(found: dict[str, Any]) -> str:
    """The status for a person."""
    lines = [
        f"leader   {found['leader'] or 'none'}",
        f"epoch    {found['epoch']}",
        f"lease    {found['remaining']:g} s left" if found["leader"] else "lease    free",
    ]
    if found["paused"]:
        lines.append("paused   yes: nothing is taken over until `airkiln failover resume`")
    if found["switchover_to"]:
        lines.append(f"pending  a switchover to {found['switchover_to']}")
    if found["reason"]:
        lines.append(f"reason   {found['reason']}")
    for member in found["members"]:
        kind = "leads" if member["leads"] else "ready" if member["ready"] else "not ready"
        here = ", this host" if member["host"] == found["host"] else ""
        lines.append(f"host     {member['host']}: {kind}, seen {member['seen']:g} s ago{here}")
    return "\n".join(lines) + "\n"


def switchover(options: argparse.Namespace) -> None:
    """Request another leader, and wait until it leads."""
    with _session(_keywords()) as session:  # one for all questions: logins would cost the successor its time
        before = read_status(session)
        if refusal := refuse_switchover(before, options.to):
            raise RefusedError([refusal])
        _request("switchover", options.to or "*")
        until = time.monotonic() + options.timeout
        while time.monotonic() < until:
            now = read_status(session)
            if now["leader"] not in (None, before["leader"]) and now["epoch"] > before["epoch"]:
                sys.stdout.write(f"{now['leader']} leads, epoch {now['epoch']}\n")
                return
            time.sleep(0.05)
        _request("cancel", None)
        leader = read_status(session)["leader"]
    raise AirkilnError(
        f"no other host took over within {options.timeout:g} s; {leader or 'no host'} leads, "
        "and the request is withdrawn: look at `journalctl -u airkiln-failover` on both hosts"
    )


def refuse_switchover(found: dict[str, Any], target: str | None) -> str | None:
    """Why a switchover is refused; None if it is not."""
    if found["paused"]:
        return "the failover is paused: `airkiln failover resume` first"
    if found["leader"] is None:
        return "no host leads, so no switchover is possible"
    fit = [m["host"] for m in found["members"] if m["ready"] and not m["leads"]]
    if target == found["leader"]:
        return f"{target} leads already"
    if target is not None and target not in fit:
        return f"{target} is not ready; ready are: {', '.join(fit) or 'none'}"
    if not fit:
        return "no other host is ready: `airkiln failover status` shows the hosts"
    return None


def pause(_options: argparse.Namespace) -> None:
    """Forbid takeovers."""
    _request("pause", None)
    sys.stdout.write(
        "paused: the leader goes on, and no other host takes over until `airkiln failover resume`\n"
    )


def resume(_options: argparse.Namespace) -> None:
    """Allow them again."""
    _request("resume", None)
    sys.stdout.write("resumed\n")


def free(_options: argparse.Namespace) -> None:
    """End the lease, whoever holds it."""
    with _session(_keywords()) as session:
        before = read_status(session)
    if before["leader"] is None:
        raise RefusedError(["the lease is free already: `airkiln failover status` shows the hosts"])
    _request("free", None)
    sys.stdout.write(f"freed: {before['leader']} ends its scheduler, and the next ready host leads\n")


def _request(what: str, target: str | None) -> None:
    client = _client("commands", limit=2.0)
    try:
        client.request(what, target, os.environ.get("SUDO_USER") or os.environ.get("USER") or "root")
    finally:
        client.close()


def _client(holder: str, limit: float) -> LeaseClient:
    layout = Layout()
    variables = controller.variables(layout)
    timings = replace(timings_of(layout, variables), call_timeout=limit, poll_timeout_max=limit)
    return LeaseClient(controller.keywords(variables), instance.read(layout).host, holder, timings)


def timings_of(layout: Layout, variables: Mapping[str, str]) -> Timings:
    """The timings for the scheduler that has these parameters, on top of the image's settings."""
    return load(variables={**read_optional(layout.static_env), **variables})


def _keywords() -> dict[str, str]:
    return controller.keywords(controller.variables(Layout()))


def clean_up(_options: argparse.Namespace) -> None:
    """After a controller's end, for whatever reason: kill what it led, release its lease. Never fails."""
    directory = RuntimeDirectory()
    directory.service.unlink(missing_ok=True)
    try:
        left = json.loads(directory.state.read_text(encoding="utf-8"))
        holder, epoch = str(left["holder"]), int(left["epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # it led nothing
    groups = ControlGroups()
    groups.kill()
    for _ in range(KILL_POLLS):
        if groups.killed():
            break
        time.sleep(0.01)
    else:
        say(f"event=not-ended epoch={epoch} reason=processes are left after the kill", ERROR)
    try:
        client = _client(holder, CLEAN_UP_TIMEOUT)
        released = client.release(epoch, "the controller ended")
        client.close()
    except AirkilnError as error:
        say(f"event=not-released epoch={epoch} reason={error}: the lease ends by itself", WARNING)
    else:
        said = "the lease is free" if released else "it was not held any more"
        say(f"event=cleaned-up epoch={epoch} holder={holder} reason={said}")
    with suppress(OSError):
        directory.state.unlink()
