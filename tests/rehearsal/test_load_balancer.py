"""A load balancer ends TLS, follows its rules and sends requests to its healthy targets."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rehearsal.aws.services.elbv2.haproxy import NAME as MACHINE
from rehearsal.linux.addresses import GATEWAY
from rehearsal.linux.machine import Machine
from rehearsal.region import Region
from tests.rehearsal.balanced import NAME, TARGETS, Balanced, balanced
from tests.support.waiting import until

pytestmark = pytest.mark.root
FIRST, SECOND = map(str, TARGETS)


@pytest.fixture(scope="module")
def balancer(region: Region) -> Iterator[Balanced]:
    with balanced(region) as made:
        yield made


@pytest.fixture
def whole(balancer: Balanced) -> Balanced:
    """With two healthy targets."""
    for server in balancer.servers:
        server.failing.clear()
    balancer.wait_for("healthy", "healthy")
    return balancer


class TestTheListeners:
    """What ends TLS, and what rules answer."""

    def test_it_has_the_certificate_of_its_name_and_no_tls_but_1_3(self, balancer: Balanced) -> None:
        with balancer.connect() as connection:
            assert isinstance(connection, ssl.SSLSocket)
            assert connection.version() == "TLSv1.3"
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            balancer.connect(newest=ssl.TLSVersion.TLSv1_2)

    def test_both_targets_get_requests_and_learn_of_the_client(self, whole: Balanced) -> None:
        assert whole.answering() == {FIRST, SECOND}
        seen = whole.send("/a?b=c", {"X-Forwarded-For": "192.0.2.1", "Not_valid": "x"}).seen
        assert seen["path"] == "/a?b=c"
        assert seen["host"] == NAME
        assert seen["x-forwarded-for"] == f"192.0.2.1, {GATEWAY}"
        assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == ("https", "443")
        assert "not_valid" not in seen

    def test_a_rule_answers_what_it_matches(self, balancer: Balanced) -> None:
        for path in ("/execution/", "//Execution", "/execution"):
            answer = balancer.ask(path)
            assert (answer.status, answer.body) == (404, "It's not here")
        assert balancer.ask("/executions").status == 200

    def test_http_is_redirected_with_its_path_and_query(self, balancer: Balanced) -> None:
        answer = balancer.ask("/a/b?c=d", port=80)
        assert (answer.status, answer.headers["location"]) == (301, f"https://{NAME}:443/a/b?c=d")
        assert balancer.ask("/", port=80).headers["location"] == f"https://{NAME}:443/"

    def test_502_where_a_target_refuses_and_503_where_there_is_none(self, balancer: Balanced) -> None:
        assert balancer.ask("/refused").status == 502
        assert balancer.ask("/empty").status == 503

    def test_machines_find_it_by_its_name_and_another_listens_at_the_same_port(
        self, region: Region, balancer: Balanced
    ) -> None:
        with balancer.another() as other:
            for each in (balancer, other):
                found = Machine(region, MACHINE).execute(["getent", "hosts", each.name]).stdout
                assert found.split()[0] == str(each.address)
            assert other.listens()
            assert [each.ask("/", port=80).status for each in (balancer, other)] == [301, 302]
        until(lambda: not other.listens(), "it has gone")


class TestTheTargets:
    """Health checks and deregistration."""

    def test_a_deregistered_target_finishes_its_request_and_gets_no_other(self, whole: Balanced) -> None:
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(whole.ask, "/slow")
            until(lambda: any(each.arrived.is_set() for each in whole.servers), "the request arrived")
            (busy,) = (each for each in whole.servers if each.arrived.is_set())
            (other,) = (each for each in whole.servers if each is not busy)
            target = [{"Id": busy.name}]
            whole.call("deregister_targets", TargetGroupArn=whole.groups["web"], Targets=target)
            assert whole.health()[busy.name] == "draining"
            until(lambda: whole.answering() == {other.name}, "no request goes to the target")
            assert not slow.done()
            busy.go.set()
            answer = slow.result()
        assert (answer.status, answer.seen["server"]) == (200, busy.name)
        whole.call("register_targets", TargetGroupArn=whole.groups["web"], Targets=target)

    def test_a_failing_target_is_taken_out_and_comes_back_and_where_all_fail_all_get_requests(
        self, whole: Balanced
    ) -> None:
        first, second = whole.servers
        first.failing = {"/live/other"}
        second.failing = {"/live/other", "/live/web"}
        whole.wait_for("healthy", "unhealthy")
        assert whole.answering() == {FIRST}
        whole.wait_for("unhealthy", "unhealthy", group="other")
        assert whole.answering("/other") == {FIRST, SECOND}
        second.failing.clear()
        whole.wait_for("healthy", "healthy")
        assert whole.answering() == {FIRST, SECOND}
        whole.wait_for("unhealthy", "healthy", group="other")
        assert whole.answering("/other") == {SECOND}
