"""What HAProxy is told of load balancers, rules and target groups."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from rehearsal.aws.services.elbv2.configuration import configuration, state
from rehearsal.aws.services.elbv2.models import (
    HealthCheck,
    Listener,
    LoadBalancer,
    Rule,
    Target,
    TargetGroup,
    Tls,
)

ADDRESS = IPv4Address("10.20.48.4")
ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef"
FORWARD: dict[str, Any] = {"Type": "forward", "TargetGroupArn": ARN}
REFUSE: dict[str, Any] = {
    "Type": "fixed-response",
    "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "It's not here"},
}
TLS = Tls(("TLSv1.3",), ("TLS_AES_128_GCM_SHA256",), ("/run/load-balancer/0.pem",))
FIRST = Target("i-1", IPv4Address("10.20.48.5"), 8080, proven=True)
SECOND = Target("i-2", IPv4Address("10.20.48.6"), 8080, proven=False)
CHECK = HealthCheck("/airkiln/live", "traffic-port", 10, 5, 2, 3, "200-204")
GROUP = TargetGroup("web", ADDRESS, "HTTP", "least_outstanding_requests", 60, 300, CHECK, (FIRST, SECOND))


def lines(
    *rules: Rule, tls: Tls | None = TLS, group: TargetGroup | None = GROUP, **attributes: str
) -> list[str]:
    """The lines for a load balancer with one listener; underscores in attributes' names stand for dots."""
    listener = Listener(443 if tls else 80, tls, (*rules, Rule((), (FORWARD,))))
    given = {name.replace("__", "."): value for name, value in attributes.items()}
    balancer = LoadBalancer("internal", ADDRESS, given, (listener,))
    text = configuration([balancer], {ARN: group} if group else {})
    return [line.strip() for line in text.splitlines()]


def condition(field: str, config: str, **given: Any) -> Rule:  # noqa: ANN401 - what the API takes
    return Rule(({"Field": field, f"{config}Config": given},), (REFUSE,))


def test_a_listener_takes_the_tls_versions_and_ciphers_of_its_policy_alone() -> None:
    (bind,) = (line for line in lines() if line.startswith("bind"))
    assert bind == (
        "bind 10.20.48.4:443 ssl crt /run/load-balancer/0.pem ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3 "
        "ciphersuites TLS_AES_128_GCM_SHA256 alpn h2,http/1.1"
    )
    older = Tls(("TLSv1.3", "TLSv1.2"), ("TLS_A", "ECDHE-B"), ("a.pem", "b.pem"))
    (bind,) = (line for line in lines(tls=older) if line.startswith("bind"))
    assert (
        "crt a.pem crt b.pem ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.3 ciphersuites TLS_A ciphers ECDHE-B"
        in bind
    )
    assert "bind 10.20.48.4:80" in lines(tls=None)


@pytest.mark.parametrize(
    ("rule", "acl"),
    [
        (condition("path-pattern", "PathPattern", Values=["/api/v2/*", "/a.b?"]),
         r"path -m reg -- '^/api/v2/.*$' '^/a\.b.$'"),
        (condition("path-pattern", "PathPattern", RegexValues=["^/*[^/]*%.*$"]),
         "path -m reg -- '^/*[^/]*%.*$'"),
        (condition("host-header", "HostHeader", Values=["*.example.com"]),
         r"req.hdr(host),field(1,:) -m reg -i -- '^.*\.example\.com$'"),
        (condition("http-header", "HttpHeader", HttpHeaderName="Authorization", Values=["Bearer *"]),
         r"req.fhdr(Authorization) -m reg -i -- '^Bearer\ .*$'"),
        (condition("http-request-method", "HttpRequestMethod", Values=["GET", "HEAD"]),
         "method -m str -- 'GET' 'HEAD'"),
        (condition("source-ip", "SourceIp", Values=["10.0.0.0/8"]), "src -- '10.0.0.0/8'"),
        (condition("query-string", "QueryString", Values=[{"Key": "v", "Value": "1*"}, {"Value": "x"}]),
         "query -m reg -i -- '(^|&)v=1.*(&|$)' '(^|&)[^=&]*=x(&|$)'"),
        (Rule(({"Field": "path-pattern", "Values": ["/old"]},), (REFUSE,)), "path -m reg -- '^/old$'"),
    ],
)  # fmt: skip
def test_a_condition_is_an_acl_of_its_values(rule: Rule, acl: str) -> None:
    assert f"acl rule0_0 {acl}" in lines(rule)


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="moon-phase"):
        lines(condition("moon-phase", "MoonPhase", Values=["full"]))


def test_the_first_rule_whose_conditions_all_hold_decides() -> None:
    given = lines(
        Rule(
            ({"Field": "path-pattern", "Values": ["/a"]}, {"Field": "path-pattern", "Values": ["/*"]}),
            (REFUSE,),
        ),
    )
    decide = [line for line in given if "set-var(txn.rule)" in line]
    assert decide == [
        "http-request set-var(txn.rule) int(0) if !{ var(txn.rule) -m found } rule0_0 rule0_1",
        "http-request set-var(txn.rule) int(1) if !{ var(txn.rule) -m found }",
    ]
    refused = r"""string 'It'\''s not here' hdr Server awselb/2.0 if { var(txn.rule) -m int 0 }"""
    assert f"http-request return status 404 content-type 'text/plain' {refused}" in given
    assert "use_backend targets:web if { var(txn.rule) -m int 1 }" in given


def test_a_redirect_keeps_what_it_does_not_name() -> None:
    redirect = {
        "Type": "redirect",
        "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
    }
    given = [line for line in lines(Rule((), (redirect,)), tls=None) if " redirect " in line]
    target = "https://%[req.hdr(host),field(1,:)]:443%[path]"
    when = "{ var(txn.rule) -m int 0 }"
    assert given == [
        f"http-request redirect code 301 location '{target}?%[query]' if {when} {{ query -m len gt 0 }}",
        f"http-request redirect code 301 location '{target}' if {when} !{{ query -m len gt 0 }}",
    ]


def test_a_redirect_takes_what_it_names() -> None:
    config = {"Host": "b.example.com", "Path": "/x%20/#{path}", "Query": "", "StatusCode": "HTTP_302"}
    given = [
        line
        for line in lines(Rule((), ({"Type": "redirect", "RedirectConfig": config},)))
        if " redirect " in line
    ]
    assert [line.split("'")[1] for line in given] == ["https://b.example.com:443/x%%20/%[path,bytes(1)]"]


def test_whoever_should_log_in_is_sent_to_the_provider_or_refused() -> None:
    oidc = {
        "AuthorizationEndpoint": "https://id.example.com/authorize",
        "ClientId": "a b",
        "Scope": "openid email",
        "OnUnauthenticatedRequest": "authenticate",
    }
    login = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": oidc}
    given = lines(Rule((), (FORWARD | {"Order": 2}, login)))
    (sent,) = (line for line in given if " redirect " in line)
    assert "code 302 location 'https://id.example.com/authorize?client_id=a+b&response_type=code" in sent
    denied = login | {"AuthenticateOidcConfig": oidc | {"OnUnauthenticatedRequest": "deny"}}
    assert any("return status 401" in line for line in lines(Rule((), (denied,))))


def test_headers_of_a_request_are_treated_as_the_attributes_say() -> None:
    given = lines(
        routing__http__drop_invalid_header_fields__enabled="true",
        routing__http__xff_header_processing__mode="append",
        idle_timeout__timeout_seconds="90",
    )
    added = [line for line in given if "X-Forwarded-For" in line]
    assert "set-header X-Forwarded-For '%[req.fhdr(X-Forwarded-For)], %[src]' if {" in added[0]
    assert "set-header X-Forwarded-For '%[src]' if !{" in added[1]
    assert "http-request set-header X-Forwarded-Proto https" in given
    assert "http-request set-header X-Forwarded-Port 443" in given
    assert "http-request del-header '[^-A-Za-z0-9]' -m reg" in given
    assert "timeout client 90s" in given
    kept = lines(routing__http__xff_header_processing__mode="preserve")
    assert not any("X-Forwarded-For" in line or "del-header" in line for line in kept)
    removed = lines(routing__http__xff_header_processing__mode="remove")
    assert "http-request del-header X-Forwarded-For" in removed


def test_a_target_is_checked_and_reached_as_its_group_says() -> None:
    given = lines()
    assert "balance leastconn" in given
    assert "source 10.20.48.4" in given
    assert "http-check expect status 200-204" in given
    assert "timeout check 5s" in given
    asked = "http-check send meth GET uri '/airkiln/live' ver HTTP/1.1"
    assert any(line.startswith(asked) for line in given)
    assert {"hard-stop-after 300s", "max-spread-checks 100"} <= set(given)
    servers = [line for line in given if line.startswith("server") and "check" in line]
    assert servers == [
        "server i-1 10.20.48.5:8080 check inter 10s fall 3 rise 2",
        "server i-2 10.20.48.6:8080 check inter 10s fall 3 rise 1",
    ]


def test_a_check_goes_to_its_own_port_and_a_group_of_https_speaks_tls() -> None:
    other = replace(GROUP, protocol="HTTPS", check=replace(CHECK, port="9000"))
    (server, *_) = (line for line in lines(group=other) if line.startswith("server i-1"))
    assert server == "server i-1 10.20.48.5:8080 ssl verify none check inter 10s fall 3 port 9000 rise 2"


def test_without_a_healthy_target_all_get_requests_and_without_any_the_answer_is_503() -> None:
    when = "{ var(txn.rule) -m int 0 }"
    given = lines()
    at = given.index(f"use_backend all-targets:web if {when} {{ nbsrv(targets:web) eq 0 }}")
    assert given[at + 1] == f"use_backend targets:web if {when}"
    open_to_all = given[given.index("backend all-targets:web") :]
    assert "server i-2 10.20.48.6:8080" in open_to_all
    assert not any("check" in line for line in open_to_all)
    for group in (replace(GROUP, targets=()), None):
        empty = lines(group=group)
        assert not any(line.startswith(("use_backend", "backend")) for line in empty)
        assert any("return status 503" in line and line.endswith(when) for line in empty)


def test_a_target_that_is_not_healthy_starts_as_failing() -> None:
    first, healthy, other = state([GROUP], lambda _, target: target is FIRST).splitlines()
    assert first == "1"
    assert healthy.split()[1:6] == ["targets:web", "0", "i-1", "10.20.48.5", "2"]
    assert other.split()[3:6] == ["i-2", "10.20.48.6", "0"]
    assert healthy.split()[10] == other.split()[10] == "1"  # not checked yet
    assert len(healthy.split()) == len(other.split()) == 25  # fields of version 1
