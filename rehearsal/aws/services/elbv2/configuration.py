"""Writes the configuration of HAProxy from load balancers and target groups. It decides nothing else.

Each listener is a frontend. Its rules are asked by priority; the first that holds sets a variable, and the
statements of its actions look at that. Each target group is a backend, and beside it stands one without
health checks for the same targets: where none is healthy, the load balancer fails open. The errors are those
of the user guide, "Troubleshoot your Application Load Balancers": 503 without a target, 502 where a target
refuses the connection or answers badly, 504 where it does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rehearsal.aws.services.elbv2.actions import answer, statements
from rehearsal.aws.services.elbv2.conditions import acl, quote
from rehearsal.aws.services.elbv2.models import TRAFFIC_PORT, Listener, LoadBalancer, Target, TargetGroup, Tls

FOLDER = "/run/load-balancer"
"""In the machine: state, sockets and certificates, in memory."""
STATE, STATISTICS, MASTER = f"{FOLDER}/state", f"{FOLDER}/statistics", f"{FOLDER}/master"
ALGORITHMS = {"least_outstanding_requests": "leastconn", "weighted_random": "random"}
"""Of target groups, by HAProxy's names; round robin otherwise."""
CONNECT = 10
"""Seconds to connect to a target (user guide, "HTTP 504: Gateway timeout")."""
SHORTEST_END = 60
"""Seconds that the connections of an earlier configuration have at least to end."""
FIRST_CHECKS = 100
"""Milliseconds over which the first checks of all targets are spread, instead of over their interval."""
INITIAL = 1
"""How HAProxy numbers the status of a check that has not run (HCHK_STATUS_INI). With 0 its process ends by a
segmentation fault at the first success."""
REASONS = {
    400: "400 Bad Request",
    408: "408 Request Time-out",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}


def configuration(balancers: Iterable[LoadBalancer], groups: Mapping[str, TargetGroup]) -> str:
    """The text of haproxy.cfg.

    :param groups: the target groups that the load balancers use, by their ARNs.
    """
    longest = max([SHORTEST_END, *(group.delay for group in groups.values())])
    sections = [*_general(longest)]
    sections += [_frontend(each, listener, groups) for each in balancers for listener in each.listeners]
    sections += [part for group in groups.values() if group.targets for part in _backends(group)]
    return "\n\n".join("\n    ".join(lines) for lines in sections) + "\n"


def state(groups: Iterable[TargetGroup], healthy: Callable[[TargetGroup, Target], bool]) -> str:
    """The state with which HAProxy starts (its management guide, "show servers state").

    A target that is not healthy, and one that was never checked, starts as failing: it gets its first request
    after a health check. A healthy one goes on.
    """
    lines = ["1"]
    for group in groups:
        tls = int(group.protocol == "HTTPS")
        for target in group.targets:
            running = 2 if healthy(group, target) else 0
            health = group.check.healthy if group.check and running else 0
            known = f"0 {backend_of(group.name)} 0 {target.name} {target.address} {running} 0 1 1"
            check = f"0 {INITIAL} 0 {health} 6 0 0 0"
            lines.append(f"{known} {check} - {target.port} - {tls} 0 - - 0")
    return "\n".join(lines) + "\n"


def backend_of(group: str) -> str:
    """The backend that sends requests to the healthy targets of the group with this name."""
    return f"targets:{group}"


def _open(group: TargetGroup) -> str:
    return f"all-targets:{group.name}"


def _general(longest: int) -> list[list[str]]:
    return [
        [
            "global",
            "log /dev/log local0",
            "user haproxy",
            "group haproxy",
            "maxconn 2000",
            f"hard-stop-after {longest}s",
            f"max-spread-checks {FIRST_CHECKS}",
            f"server-state-file {STATE}",
            f"stats socket {STATISTICS} mode 600 level admin",
        ],
        [
            "defaults",
            "mode http",
            "log global",
            "option httplog",
            "option http-server-close",
            "load-server-state-from-file global",
            "retries 0",
            f"timeout connect {CONNECT}s",
            *(_error(status, status) for status in REASONS),
        ],
    ]


def _error(status: int, shown: int) -> str:
    """What is answered in place of HAProxy's own page."""
    return f"http-error status {status} content-type text/html string {quote(_page(shown))}"


def _page(status: int) -> str:
    reason = REASONS[status]
    head = f"<html><head><title>{reason}</title></head>"
    return f"{head}<body><center><h1>{reason}</h1></center></body></html>"


def _frontend(balancer: LoadBalancer, listener: Listener, groups: Mapping[str, TargetGroup]) -> list[str]:
    protocol = "https" if listener.tls else "http"

    def forward(arn: str, when: str) -> list[str]:
        group = groups.get(arn)
        if group is None or not group.targets:
            return [f"http-request {answer(503, 'text/html', _page(503))} if {when}"]
        to_healthy = f"use_backend {backend_of(group.name)} if {when}"
        if group.check is None:
            return [to_healthy]
        return [
            f"use_backend {_open(group)} if {when} {{ nbsrv({backend_of(group.name)}) eq 0 }}",
            to_healthy,
        ]

    conditions, actions = [], []
    for number, rule in enumerate(listener.rules):
        names = [f"rule{number}_{at}" for at in range(len(rule.conditions))]
        conditions += [f"acl {name} {acl(given)}" for name, given in zip(names, rule.conditions, strict=True)]
        first = " ".join(["!{ var(txn.rule) -m found }", *names])
        conditions.append(f"http-request set-var(txn.rule) int({number}) if {first}")
        when = f"{{ var(txn.rule) -m int {number} }}"
        actions += statements(rule.actions, when, (protocol, listener.port), forward)
    return [
        f"frontend {balancer.name}:{listener.port}",
        f"bind {balancer.address}:{listener.port}{_tls(listener.tls, http2=_http2(balancer))}",
        f"timeout client {balancer.idle}s",
        f"timeout http-keep-alive {balancer.idle}s",
        *_headers(balancer, listener.port, protocol),
        # HAProxy answers 503 to both: to a connection that is refused, and to one that is not answered.
        "http-after-response set-status 502 if { txn.sess_term_state -m str SC }",
        "http-after-response set-status 504 if { txn.sess_term_state -m str sC }",
        *conditions,
        *sorted(actions, key=lambda line: line.startswith("use_backend")),
    ]


def _http2(balancer: LoadBalancer) -> bool:
    return balancer.attributes.get("routing.http2.enabled", "true") == "true"


def _tls(tls: Tls | None, *, http2: bool) -> str:
    if tls is None:
        return ""
    certificates = " ".join(f"crt {path}" for path in tls.certificates)
    versions = f"ssl-min-ver {min(tls.versions)} ssl-max-ver {max(tls.versions)}"
    later = [cipher for cipher in tls.ciphers if cipher.startswith("TLS_")]
    earlier = [cipher for cipher in tls.ciphers if not cipher.startswith("TLS_")]
    suites = f" ciphersuites {':'.join(later)}" if later else ""
    suites += f" ciphers {':'.join(earlier)}" if earlier else ""
    protocols = "h2,http/1.1" if http2 else "http/1.1"
    return f" ssl {certificates} {versions}{suites} alpn {protocols}"


def _headers(balancer: LoadBalancer, port: int, protocol: str) -> list[str]:
    """What becomes of a request's headers (user guide, "HTTP headers and Application Load Balancers")."""
    given = balancer.attributes.get
    lines = []
    if given("routing.http.drop_invalid_header_fields.enabled") == "true":
        lines.append("http-request del-header '[^-A-Za-z0-9]' -m reg")
    client = "%[src]:%[src_port]" if given("routing.http.xff_client_port.enabled") == "true" else "%[src]"
    mode = given("routing.http.xff_header_processing.mode", "append")
    if mode == "append":
        before = "{ req.fhdr(X-Forwarded-For) -m found }"
        appended = quote(f"%[req.fhdr(X-Forwarded-For)], {client}")
        lines += [
            f"http-request set-header X-Forwarded-For {appended} if {before}",
            f"http-request set-header X-Forwarded-For {quote(client)} if !{before}",
        ]
    elif mode == "remove":
        lines.append("http-request del-header X-Forwarded-For")
    return [
        *lines,
        f"http-request set-header X-Forwarded-Proto {protocol}",
        f"http-request set-header X-Forwarded-Port {port}",
    ]


def _backends(group: TargetGroup) -> list[list[str]]:
    tls = " ssl verify none" if group.protocol == "HTTPS" else ""
    common = [
        f"balance {ALGORITHMS.get(group.algorithm, 'roundrobin')}",
        f"source {group.source}",
        f"timeout server {group.idle}s",
        f"timeout tunnel {group.idle}s",
        _error(503, 502),
    ]
    addresses = [f"server {each.name} {each.address}:{each.port}{tls}" for each in group.targets]
    check = group.check
    if check is None:
        return [[f"backend {backend_of(group.name)}", *common, *addresses]]
    port = "" if check.port == TRAFFIC_PORT else f" port {check.port}"
    limits = f"check inter {check.interval}s fall {check.unhealthy}{port}"
    servers = [
        f"{address} {limits} rise {check.healthy if target.proven else 1}"
        for address, target in zip(addresses, group.targets, strict=True)
    ]
    asked = f"http-check send meth GET uri {quote(check.path)} ver HTTP/1.1"
    described = [
        f"backend {backend_of(group.name)}",
        *common,
        "option httpchk",
        f"{asked} hdr Host {group.name} hdr User-Agent ELB-HealthChecker/2.0 hdr Connection close",
        f"http-check expect status {check.codes}",
        f"timeout check {check.timeout}s",
        *servers,
    ]
    return [described, [f"backend {_open(group)}", *common, *addresses]]
