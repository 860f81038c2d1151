"""What people run and see: sessions, commands, alarms."""

from __future__ import annotations

import json
import re

import pytest

from airkiln.aws.metrics import namespace
from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.static.template import SAMPLES, Template

COMMANDS = (
    "AirflowCommand",
    "AirflowAdministration",
    "TailJournal",
    "DrainWorker",
    "SwitchOverLeader",
    "SupportBundle",
)
SHELL_WORDS = (
    "a; id",
    "$(id)",
    "`id`",
    "a|b",
    "a && b",
    "a > b",
    "a\nb",
    "'",
    '"',
    "*",
    "\\",
    "--",
    "-x",
    "",
)
"""What no parameter of a command may be: signs that a shell acts on, an option, nothing."""
MISSING_IS_BAD = {"NoLeader", "SchedulerHeartbeat", "NoWebserver"}


def content(name: str) -> Json:
    document = Template("operations").deployed()[name]["Properties"]
    return document["Content"]


def alarms(name: str) -> dict[str, Json]:
    return {
        key.removesuffix("Alarm"): resource["Properties"]
        for key, resource in Template(name).deployed().items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


def test_a_session_is_kept_encrypted_and_ends_when_idle() -> None:
    inputs = content("Session")["inputs"]
    assert (inputs["s3BucketName"], inputs["s3EncryptionEnabled"]) == (SAMPLES["LogBucketName"], True)
    assert inputs["cloudWatchLogGroupName"] == SAMPLES["SessionsLogGroupName"]
    assert inputs["cloudWatchEncryptionEnabled"] is True
    assert inputs["kmsKeyId"] == SAMPLES["KeyArn"]
    assert inputs["idleSessionTimeout"] == "20"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_nothing_that_a_shell_would_act_on(name: str) -> None:
    for parameter, form in content(name).get("parameters", {}).items():
        pattern = form["allowedPattern"]
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        taken = [word for word in SHELL_WORDS if re.fullmatch(pattern, word)]
        assert taken == [], parameter
        if "default" in form:
            assert re.search(pattern, form["default"])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_stops_at_its_first_failure(name: str) -> None:
    (step,) = content(name)["mainSteps"]
    assert step["inputs"]["runCommand"][0].startswith("set -eu")


def test_an_airflow_command_does_not_expand_file_names() -> None:
    assert content("AirflowCommand")["mainSteps"][0]["inputs"]["runCommand"][0] == "set -euf"


READS = (
    "dags list",
    "dags list --output json",
    "dags list-runs example --state running",
    "tasks states-for-dag-run example manual__2026-11-26T00:00:00+00:00",
    "jobs check --job-type SchedulerJob --hostname i-1",
    "db check-migrations",
    "version",
)
CHANGES_OR_SHOWS_SECRETS = (
    "config list", "config get-value core fernet_key", "connections list", "connections get main",
    "connections export /dev/stdout", "variables get key", "variables export /dev/stdout", "info",
    "db reset -y", "db clean --yes", "db migrate", "db shell", "users create -u a -p b -r Admin",
    "users delete -u a", "users reset-password -u a -p b", "roles create a", "roles add-perms Public",
    "tasks test a b", "tasks run a b", "tasks clear a", "dags delete a", "dags pause a", "dags trigger a",
    "dags test a", "dags backfill a", "dags reserialize", "pools set a 1 b", "pools import /etc/passwd",
    "pools export /tmp/a", "rotate-fernet-key", "standalone", "api-server", "celery worker", "scheduler",
    "plugins", "assets materialize a", "dags", "dags list; id", "listx", "dags listing", "dags list  a",
)  # fmt: skip


def test_an_operators_airflow_command_only_reads() -> None:
    pattern = content("AirflowCommand")["parameters"]["Arguments"]["allowedPattern"]
    assert [words for words in READS if not re.fullmatch(pattern, words)] == []
    assert [words for words in CHANGES_OR_SHOWS_SECRETS if re.fullmatch(pattern, words)] == []
    every = content("AirflowAdministration")["parameters"]["Arguments"]["allowedPattern"]
    assert re.fullmatch(every, "dags unpause example")


def test_a_forwarded_port_is_the_uis_and_no_other() -> None:
    document = content("ForwardedUserInterface")
    assert (document["sessionType"], document["properties"]["portNumber"]) == ("Port", "8080")
    assert set(document["parameters"]) == {"localPortNumber"}
    pattern = document["parameters"]["localPortNumber"]["allowedPattern"]
    good = [str(number) for number in (1, 80, 8080, 65535)]
    assert [port for port in good if not re.fullmatch(pattern, port)] == []
    assert [port for port in ("0", "65536", "99999", "8080;", "", "a") if re.fullmatch(pattern, port)] == []


def test_what_no_data_means_is_said_for_every_alarm() -> None:
    found = alarms("observability")
    breaching = {name for name, alarm in found.items() if alarm["TreatMissingData"] == "breaching"}
    assert breaching == MISSING_IS_BAD


def test_everything_that_the_design_watches_has_an_alarm() -> None:
    assert set(alarms("observability")) == {
        "NoLeader", "SchedulerHeartbeat", "OldestQueuedTask", "DagImportErrors", "Errors", "Unanswered",
        "MissingWorkers", "NoWebserver", "DatabaseStorage", "DatabaseConnections", "DatabaseCpu",
    }  # fmt: skip
    assert set(alarms("queues")) == {"DeadLetter"}
    assert set(alarms("workers")) == {"AtMaximum"}


@pytest.mark.parametrize("name", ["observability", "queues", "workers"])
def test_an_alarm_says_what_is_wrong_and_tells_somebody(name: str) -> None:
    for alarm in alarms(name).values():
        assert alarm["AlarmDescription"].endswith(".")
        assert alarm["AlarmActions"]


def test_a_transcript_that_is_written_over_is_kept_as_long_as_any_other() -> None:
    bucket = Template("buckets").deployed(SessionRetentionDays="77")["LogBucket"]["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = [each for each in bucket["LifecycleConfiguration"]["Rules"] if each["Id"] == "sessions"]
    assert str(rule["ExpirationInDays"]) == "77"
    assert str(rule["NoncurrentVersionExpiration"]["NoncurrentDays"]) == "77"


@pytest.mark.parametrize("name", ["security", "iam", "workers", "operations"])
def test_nobody_who_works_with_transcripts_may_delete_them(name: str) -> None:
    for resource in Template(name).deployed().values():
        assert not re.search(r"s3:Delete|s3:\*|s3:PutLifecycle|logs:Delete|logs:\*", str(resource))


def test_our_metrics_are_looked_for_where_the_environments_instances_publish_them() -> None:
    ours = namespace("test")
    spaces = {alarm["Namespace"] for alarm in alarms("observability").values() if "Namespace" in alarm}
    assert {space for space in spaces if not space.startswith("AWS/")} == {ours}
    body = Template("observability").deployed()["Dashboard"]["Properties"]["DashboardBody"]
    assert set(re.findall(r'"(Airkiln[^"]*)"', body)) == {ours}
    policy = str(Template("security").deployed()["InstancePolicy"])
    assert f"{{'cloudwatch:namespace': '{ours}'}}" in policy


def test_the_dashboard_is_read_by_cloudwatch() -> None:
    body = Template("observability").deployed()["Dashboard"]["Properties"]["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    places = {(widget["x"], widget["y"]) for widget in widgets}
    assert len(places) == len(widgets) == 9
