"""`airkiln failover` as a person and systemd call it, with a PostgreSQL 17 behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airkiln.database import prepare as preparing
from airkiln.database import schema
from airkiln.errors import DENIED, FAILED, REFUSED
from airkiln.failover.lease import LeaseClient
from airkiln.roles import SCHEDULER_UNIT
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.linux.addresses import POSTGRES as ADDRESS
from tests.database.support import LIMITS, URL, VARIABLES, expire, take
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
MakeClient = Callable[[str], LeaseClient]


class Host:
    """A host in a folder, by the name of `here`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = folder / "run/airkiln-failover"
        self.runtime.mkdir(parents=True)
        (folder / "run/airkiln").mkdir()
        (folder / "run/airkiln/instance.json").write_text('{"instance_id": "here", "environment": "prod"}')
        self.variables = dict(VARIABLES)
        self.begun: list[subprocess.Popen[str]] = []

    def begins(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        with (self.folder / f"said-{len(self.begun)}").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.database.host", str(self.folder), "failover", *arguments],
                cwd=ROOT,
                env={
                    **kept,
                    **self.variables,
                    "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1",
                },
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self.begun.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> str:
        """By now, to the journal."""
        return (self.folder / f"said-{self.begun.index(process)}").read_text()

    def until_said(self, process: subprocess.Popen[str], words: str) -> None:
        until(lambda: words in self.said(process), lambda: self.said(process), PATIENCE, every=0.02)

    def does(self, *arguments: str) -> tuple[int, str]:
        """Its exit code, and what was said or printed."""
        process = self.begins(*arguments)
        printed, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, printed + self.said(process)


@pytest.fixture
def host(tmp_path: Path, server: Postgres) -> Iterator[Host]:
    assert server.machine.running()
    found = Host(tmp_path)
    yield found
    for process in found.begun:
        process.kill()
        process.communicate()


# status


def test_status_says_who_leads_and_who_is_ready(host: Host, client: MakeClient) -> None:
    one, here, third = client("one"), client("here"), client("third")
    epoch = take(one).epoch
    one.renew(True, epoch)
    here.poll(True)
    third.poll(False)
    code, text = host.does("status")
    lines = text.splitlines()
    assert (code, lines[:2]) == (0, ["leader   one", f"epoch    {epoch}"])
    assert lines[2].startswith("lease    ")
    assert lines[2].endswith(" s left")
    assert [line.partition(", seen")[0] for line in lines[3:]] == [
        "host     here: ready",
        "host     one: leads",
        "host     third: not ready",
    ]
    assert lines[3].endswith(", this host")


def test_status_as_json(host: Host, client: MakeClient) -> None:
    one = client("one")
    epoch = take(one).epoch
    one.renew(True, epoch)
    code, text = host.does("status", "--json")
    found = json.loads(text)
    assert (code, found["leader"], found["holder"], found["epoch"]) == (0, "one", "one/1", epoch)
    assert (found["host"], found["phase"], found["paused"]) == ("here", "standby", False)
    assert 0 < found["remaining"] <= LIMITS.lease_ttl
    assert [(each["host"], each["ready"], each["leads"]) for each in found["members"]] == [
        ("one", True, True)
    ]


def test_status_of_a_free_lease_and_of_a_paused_one(host: Host, client: MakeClient) -> None:
    client("one").request("pause", None, "a person")
    _, text = host.does("status")
    assert "leader   none" in text
    assert "lease    free" in text
    assert "paused   yes" in text


def test_pause_and_resume(host: Host, client: MakeClient) -> None:
    one, other = client("one"), client("other")
    take(one)
    code, text = host.does("pause")
    assert (code, text.startswith("paused: ")) == (0, True)
    assert host.does("free") == (0, "freed: one ends its scheduler, and the next ready host leads\n")
    assert other.acquire() is None
    assert host.does("resume") == (0, "resumed\n")
    assert other.acquire() is not None


def test_a_lease_that_is_free_is_not_freed(host: Host, client: MakeClient) -> None:
    assert client("one").poll(True).remaining <= 0
    code, text = host.does("free")
    assert (code, "the lease is free already" in text) == (REFUSED, True)


# switchover


def test_a_switchover_is_refused_where_nobody_leads(host: Host, client: MakeClient) -> None:
    client("one").poll(True)
    code, text = host.does("switchover")
    assert (code, "no host leads, so no switchover is possible" in text) == (REFUSED, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no other host is ready"),
        (["--to", "two"], "two is not ready; ready are: none"),
        (["--to", "one"], "one leads already"),
    ],
)
def test_a_switchover_that_cannot_be_is_refused_and_asked_of_nobody(
    host: Host, client: MakeClient, arguments: list[str], sentence: str
) -> None:
    one = client("one")
    epoch = take(one).epoch
    client("two").poll(False)
    code, text = host.does("switchover", *arguments)
    assert (code, sentence in text) == (REFUSED, True), text
    assert one.renew(True, epoch)[1].switchover_to is None


def test_a_switchover_is_refused_while_paused(host: Host, client: MakeClient) -> None:
    one = client("one")
    take(one)
    one.request("pause", None, "a person")
    code, text = host.does("switchover")
    assert (code, "the failover is paused" in text) == (REFUSED, True)


def answer_a_switchover(
    leader: LeaseClient, successor: LeaseClient, epoch: int, ended: threading.Event
) -> None:
    """What two controllers do about a request: one gives the lease up, the other takes it."""
    while not ended.wait(0.05):
        successor.poll(True)
        if leader.renew(True, epoch)[1].switchover_to:
            leader.release(epoch, "a switchover was requested")
            take(successor)
            return


@pytest.mark.parametrize(("successor", "done"), [("two", True), ("one", False)], ids=["taken", "taken back"])
def test_a_switchover_is_done_when_another_host_leads(
    host: Host, client: MakeClient, successor: str, done: bool
) -> None:
    one, two = client("one"), client("two")
    epoch = take(one).epoch
    two.poll(True)
    ended = threading.Event()
    by = two if successor == "two" else client("one")
    beside = threading.Thread(target=answer_a_switchover, args=(one, by, epoch, ended))
    beside.start()
    keeps = threading.Event()
    third = client("two")
    standing_by = threading.Thread(
        target=lambda: [third.poll(True) for _ in iter(lambda: keeps.wait(0.1), True)]
    )
    standing_by.start()
    try:
        code, text = host.does("switchover", "--timeout", "10" if done else "2")
    finally:
        ended.set()
        keeps.set()
        beside.join()
        standing_by.join()
    if done:
        assert (code, text) == (0, f"two leads, epoch {epoch + 1}\n")
    else:
        assert (code, "no other host took over within 2 s; one leads" in text) == (FAILED, True)


def test_a_switchover_that_nobody_answers_is_withdrawn(host: Host, client: MakeClient) -> None:
    one = client("one")
    epoch = take(one).epoch
    client("two").poll(True)
    code, text = host.does("switchover", "--to", "two", "--timeout", "0.2")
    assert (code, "the request is withdrawn" in text) == (FAILED, True)
    assert client("one").poll(True).switchover_to is None
    assert one.renew(True, epoch)


# clean-up


def leaves_behind(host: Host, epoch: int) -> Path:
    """What a controller that was killed leaves; returns where its scheduler's group is killed."""
    (host.runtime / "state.json").write_text(json.dumps({"holder": "here/1", "epoch": epoch}))
    (host.runtime / "pg_service.conf").write_text("a login")
    group = host.folder / "system.slice" / SCHEDULER_UNIT
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text("4242\n")
    (group / "cgroup.kill").write_text("")
    return group / "cgroup.kill"


def test_clean_up_kills_and_releases(host: Host, client: MakeClient) -> None:
    here = client("here")
    epoch = take(here).epoch
    killed = leaves_behind(host, epoch)
    code, text = host.does("clean-up")
    assert (code, text) == (0, f"event=cleaned-up epoch={epoch} holder=here/1 reason=the lease is free\n")
    assert killed.read_text() == "1"
    assert here.poll(True).remaining <= 0
    assert list(host.runtime.iterdir()) == []


def test_clean_up_says_what_outlasts_its_kill_and_releases_all_the_same(
    host: Host, client: MakeClient
) -> None:
    here = client("here")
    leaves_behind(host, take(here).epoch)
    shown = host.folder / "proc/4242/stat"
    shown.parent.mkdir(parents=True)
    shown.write_text(f"4242 (airflow) D {' '.join(str(number) for number in range(4, 30))}\n")
    code, text = host.does("clean-up")
    assert (code, "event=not-ended" in text, "event=cleaned-up" in text) == (0, True, True)
    assert here.poll(True).remaining <= 0


def test_clean_up_takes_nothing_from_a_successor(host: Host, server: Postgres, client: MakeClient) -> None:
    epoch = take(client("here")).epoch
    expire(server)
    other = client("other")
    new = take(other).epoch
    leaves_behind(host, epoch)
    code, text = host.does("clean-up")
    assert (code, "reason=it was not held any more" in text) == (0, True)
    assert other.renew(True, new)[0]


def test_clean_up_without_the_database_kills_and_fails_nothing(host: Host) -> None:
    killed = leaves_behind(host, 7)
    host.variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = "postgresql://airflow:x@127.0.0.1:1/airflow"
    code, text = host.does("clean-up")
    assert (code, "event=not-released epoch=7" in text, killed.read_text()) == (0, True, "1")


@pytest.mark.parametrize("left", [None, "", "{", '{"holder": "here/1"}', "[]"])
def test_clean_up_after_a_controller_that_led_nothing_kills_nothing(host: Host, left: str | None) -> None:
    killed = leaves_behind(host, 7)
    (host.runtime / "state.json").unlink()
    if left is not None:
        (host.runtime / "state.json").write_text(left)
    assert host.does("clean-up") == (0, "")
    assert killed.read_text() == ""


# run: what no waiting would mend ends it with a sentence


def test_a_wrong_password_ends_the_start(host: Host) -> None:
    host.variables[preparing.CONTROLLER_PASSWORD] = "another"
    code, text = host.does("run")
    assert code == DENIED
    assert "airkiln_controller may not log in with the password of its parameter" in text
    assert "another" not in text


@pytest.mark.parametrize(
    ("damage", "restore", "sentence"),
    [
        (
            "ALTER SCHEMA airkiln RENAME TO gone",
            "ALTER SCHEMA gone RENAME TO airkiln",
            "the lease table is missing in the database: run the database step",
        ),
        (
            "UPDATE airkiln.schema_version SET version = 99",
            f"UPDATE airkiln.schema_version SET version = {schema.VERSION}",
            f"the lease table has version 99 and this release needs {schema.VERSION}",
        ),
    ],
    ids=["missing", "another version"],
)
@pytest.mark.usefixtures("plan")
def test_a_lease_table_that_does_not_fit_ends_the_start(
    host: Host, server: Postgres, damage: str, restore: str, sentence: str
) -> None:
    server.sql(damage, "airflow")
    try:
        code, text = host.does("run")
    finally:
        server.sql(restore, "airflow")
    assert (code, sentence in text) == (REFUSED, True), text


def test_a_second_controller_on_the_host_ends_and_the_first_goes_on(host: Host, client: MakeClient) -> None:
    client("here").poll(False)
    first = host.begins("run")
    host.until_said(first, "event=started")
    code, text = host.does("run")
    assert (code, "another failover controller runs on this host" in text) == (REFUSED, True)
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0


def test_a_host_out_of_reach_is_waited_for(host: Host, client: MakeClient) -> None:
    client("here").poll(False)
    host.variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = URL.replace(str(ADDRESS), "10.42.0.77")
    waiting = host.begins("run")
    host.until_said(waiting, "event=waiting reason=database airflow at 10.42.0.77:5432: no answer")
    host.until_said(waiting, "event=database-lost")
    assert waiting.poll() is None
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(PATIENCE) == 0
    assert host.said(waiting).count("event=database-lost") == 1
