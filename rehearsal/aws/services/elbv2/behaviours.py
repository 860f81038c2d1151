"""What the emulated Elastic Load Balancing reproduces."""

from __future__ import annotations

from rehearsal.aws.services.behaviours import Behaviour

_GUIDE = "https://docs.aws.amazon.com/elasticloadbalancing/latest/application"

BEHAVIOURS = (
    Behaviour(
        "An Application Load Balancer is provisioning until it listens. Listeners end TLS with the "
        "certificate of Certificate Manager, by the versions and ciphers of the security policy.",
        f"{_GUIDE}/describe-ssl-policies.html",
        "A node in each zone, Network and Gateway Load Balancers, certificates of IAM.",
    ),
    Behaviour(
        "Rules are matched by priority; they forward, redirect, or answer.",
        f"{_GUIDE}/listener-rules.html",
        "Stickiness, weights between target groups, slow start, sessions of an identity provider, web ACLs.",
    ),
    Behaviour(
        "Health checks take failing targets out and let them back in. Where all targets fail, all of them "
        "get requests.",
        f"{_GUIDE}/target-group-health-checks.html",
        "Health by zone, metrics.",
    ),
    Behaviour(
        "A target that deregisters gets no new connection and keeps its own for the deregistration delay.",
        f"{_GUIDE}/edit-target-group-attributes.html",
        "Connections to targets that are used again.",
    ),
    Behaviour(
        "Requests get X-Forwarded headers by the load balancer's attributes; headers with invalid names are "
        "dropped.",
        f"{_GUIDE}/x-forwarded-headers.html",
        "Modes of desync mitigation, access logs, X-Amzn headers.",
    ),
)
