"""Faults are injected by HTTP, and last as long as the request says."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from werkzeug.serving import make_server
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from rehearsal.aws import fault_client
from rehearsal.aws.fault_api import FaultApi
from rehearsal.aws.services.ec2 import metadata
from rehearsal.aws.services.ec2.metadata import InstanceFacts, answer
from rehearsal.aws.timers import Schedule
from rehearsal.errors import RehearsalError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Instance:
    """An instance that records what happens to it."""

    def __init__(self) -> None:
        self.spot_end: datetime | None = None
        self.rebalance_at: datetime | None = None
        self.target_lifecycle_state: str | None = "Terminated"
        self.taken = False

    def reclaim(self) -> None:
        self.taken = True


class World:
    """One instance, i-1, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.schedule = Schedule(lambda: self.now)
        self.instance = Instance()
        self.recommended: list[str] = []
        self.tokens = metadata.Tokens()
        self.faults = FaultApi(
            self.schedule,
            lambda name: {"i-1": self.instance}[name],
            self.recommended.append,
            lambda: NOW,
            self.tokens.forget,
        )
        self.application = self.faults.wrap(_everything)

    def request(self, fault: str, **details: str | float) -> int:
        body = json.dumps(details)
        return Client(self.application).post(f"/_rehearsal/{fault}", data=body).status_code


@Request.application
def _everything(request: Request) -> Response:
    """An API that has an answer to all, and reads the request to its end."""
    return Response(f"<Seen>{request.method} {len(request.get_data())}</Seen>")


@pytest.fixture
def world() -> World:
    return World()


@contextmanager
def served(application: Any) -> Iterator[str]:  # noqa: ANN401 - a WSGI application
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def client(service: str, address: str) -> Any:  # noqa: ANN401 - botocore's clients have no type
    return botocore.session.get_session().create_client(
        service,
        region_name="us-east-1",
        endpoint_url=address,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def test_a_spot_notice_is_kept(world: World) -> None:
    assert world.request("spot-notice", instance="i-1", seconds=120) == 200
    assert world.instance.spot_end == datetime(2026, 11, 21, 12, 2, tzinfo=UTC)
    world.now = 119.9
    world.schedule.run_due()
    assert not world.instance.taken
    world.now = 120.0
    world.schedule.run_due()
    assert world.instance.taken


def test_a_recommendation_reaches_instance_and_group(world: World) -> None:
    assert world.request("rebalance", instance="i-1") == 200
    assert world.instance.rebalance_at == NOW
    assert world.recommended == ["i-1"]


def test_a_live_migration_loses_the_lifecycle_state_and_the_tokens_of_one_instance(world: World) -> None:
    mine, other = (world.tokens.issue(address, 300) for address in ("10.42.16.4", "10.42.16.5"))
    assert world.request("live-migration", instance="i-1", address="10.42.16.4") == 200
    assert world.instance.target_lifecycle_state is None
    assert not world.tokens.valid(mine, "10.42.16.4")
    assert world.tokens.valid(other, "10.42.16.5")


def test_the_metadata_show_both() -> None:
    facts = InstanceFacts(
        instance_id="i-1",
        image_id="ami-1",
        instance_type="m7i.xlarge",
        private_ip="10.42.16.4",
        private_dns="ip-10-42-16-4.ec2.internal",
        mac="02:00:00:00:00:01",
        region="eu-central-1",
        zone="eu-central-1b",
        launched=NOW,
        life_cycle="spot",
        target_lifecycle_state="Terminated",
        spot_end=NOW,
        rebalance_at=NOW,
    )

    def value(path: str) -> str:
        return str(answer(facts, f"/latest/meta-data/{path}", NOW))

    assert value("autoscaling/target-lifecycle-state") == "Terminated"
    assert json.loads(value("spot/instance-action")) == {
        "action": "terminate",
        "time": "2026-11-21T12:00:00Z",
    }
    assert value("spot/termination-time") == "2026-11-21T12:00:00Z"
    assert json.loads(value("events/recommendations/rebalance")) == {"noticeTime": "2026-11-21T12:00:00Z"}
    assert value("instance-life-cycle") == "spot"


def test_what_cannot_be_obeyed_is_refused(world: World) -> None:
    assert world.request("spot-notice", instance="i-2") == 400
    assert world.request("spot-notice", strange=1) == 400
    assert world.request("unheard-of") == 404
    assert Client(world.application).get("/_rehearsal/rebalance").status_code == 404


def test_other_requests_pass_untouched(world: World) -> None:
    assert Client(world.application).post("/", data="Action=DescribeTags").text == "<Seen>POST 19</Seen>"
    world.faults.throttle("autoscaling", 1)
    assert Client(world.application).post("/", data="Action=DescribeTags").text == "<Seen>POST 19</Seen>"


CALLS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "query": ("autoscaling", lambda api: api.describe_auto_scaling_groups(), "Throttling"),
    "ec2": ("ec2", lambda api: api.describe_instances(), "RequestLimitExceeded"),
    "json": ("ssm", lambda api: api.get_parameter(Name="a"), "ThrottlingException"),
    "cbor": (
        "cloudwatch",
        lambda api: api.put_metric_data(Namespace="A", MetricData=[]),
        "ThrottlingException",
    ),
}


@pytest.mark.parametrize("protocol", CALLS)
def test_a_throttled_service_says_so_as_its_protocol_words_it(world: World, protocol: str) -> None:
    service, call, code = CALLS[protocol]
    signed_for = {"cloudwatch": "monitoring"}.get(service, service)
    world.faults.throttle(signed_for, 2)
    with served(world.application) as address:
        api = client(service, address)
        for _ in range(2):
            with pytest.raises(ClientError, match="Rate exceeded") as refused:
                call(api)
            assert refused.value.response["Error"]["Code"] == code


def test_one_action_of_a_service_can_be_throttled(world: World) -> None:
    world.faults.throttle("autoscaling", 1, "SetDesiredCapacity")
    with served(world.application) as address:
        api = client("autoscaling", address)
        api.delete_auto_scaling_group(AutoScalingGroupName="a")
        with pytest.raises(ClientError, match="Rate exceeded"):
            api.set_desired_capacity(AutoScalingGroupName="a", DesiredCapacity=1)
        api.set_desired_capacity(AutoScalingGroupName="a", DesiredCapacity=1)


def test_the_metadata_service_is_unavailable_to_one_address_for_a_time(world: World) -> None:
    world.request("metadata-away", address="10.42.16.4", seconds=30)
    assert world.faults.is_unavailable("10.42.16.4")
    assert not world.faults.is_unavailable("10.42.16.5")
    world.now = 30.0
    assert not world.faults.is_unavailable("10.42.16.4")
    world.request("metadata-away", address="10.42.16.4", seconds=30)
    world.request("metadata-away", address="10.42.16.4", seconds=0)
    assert not world.faults.is_unavailable("10.42.16.4")


def test_a_server_does_not_answer_while_it_is_unavailable(world: World) -> None:
    asked, back = threading.Event(), threading.Event()

    def hold(address: str) -> None:
        assert address == "127.0.0.1"
        asked.set()
        back.wait(10)

    server = metadata.server(("127.0.0.1", 0), lambda _: None, hold)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request("GET", "/latest/meta-data/")
    assert asked.wait(10)
    back.set()
    assert connection.getresponse().status == 403
    connection.close()
    server.shutdown()
    server.server_close()


def test_the_client_sends_each_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(world.application) as address:
        monkeypatch.setattr(fault_client, "endpoint_url", lambda: address)
        fault_client.spot_notice("i-1", 60)
        fault_client.rebalance("i-1")
        fault_client.live_migration("i-1", "10.42.16.4")
        fault_client.metadata_away("10.42.16.4", 5)
        fault_client.throttle("autoscaling", 1, "SetDesiredCapacity")
        with pytest.raises(RehearsalError, match="refused spot-notice"):
            fault_client.spot_notice("i-2")
    assert world.instance.spot_end is not None
    assert world.recommended == ["i-1"]
    assert world.instance.target_lifecycle_state is None
    assert world.faults.is_unavailable("10.42.16.4")


def test_a_job_that_fails_stops_no_other(world: World) -> None:
    ran: list[float] = []

    def fail() -> None:
        raise RuntimeError("of this job alone")

    world.schedule.after(1, fail)
    world.schedule.every(1, lambda: ran.append(world.now))
    for moment in (0.5, 1.0, 1.5, 2.0, 3.5):
        world.now = moment
        world.schedule.run_due()
    assert ran == [1.0, 2.0, 3.5]
