"""Writes the actions of a listener's rule as statements of HAProxy.

A login that an action asks for cannot succeed here: nobody talks to an identity provider. So a request is
sent there or gets 401, as it would without a session. Source: the Application Load Balancers user guide,
"Action types for listener rules" and "Authenticate users using an Application Load Balancer".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from rehearsal.aws.services.elbv2.conditions import HOST, quote

Action = Mapping[str, Any]
_PLACEHOLDER = re.compile(r"#\{(\w+)\}")
_HAS_QUERY = "{ query -m len gt 0 }"
Forward = Callable[[str, str], list[str]]
"""Returns the statements that forward to the target group of an ARN under a condition."""


def statements(
    actions: Sequence[Action], when: str, listener: tuple[str, int], forward: Forward
) -> list[str]:
    """The statements of a rule's actions, in the order of the API's ``Order``.

    :param when: the condition under which the rule counts.
    :param listener: its protocol, ``http`` or ``https``, and its port.
    """
    lines: list[str] = []
    for action in sorted(actions, key=lambda each: int(each.get("Order", 0))):
        kind = str(action["Type"])
        if kind == "forward":
            lines += forward(group_of(action), when)
        elif kind == "redirect":
            lines += _redirect(action["RedirectConfig"], when, *listener)
        elif kind == "fixed-response":
            lines.append(_fixed(action["FixedResponseConfig"], when))
        else:
            lines += _login(action, when, *listener)
    return lines


def group_of(action: Action) -> str:
    """ARN of the target group that an action forwards to; of several, the one with the largest weight."""
    groups = action.get("ForwardConfig", {}).get("TargetGroups", [])
    if not groups:
        return str(action["TargetGroupArn"])
    return str(max(groups, key=lambda each: int(each.get("Weight", 1)))["TargetGroupArn"])


def answer(status: int, kind: str = "", body: str = "") -> str:
    """A response of the load balancer's own, as the words of ``http-request return``."""
    payload = f" content-type {quote(kind or 'text/plain')} string {quote(body)}" if body else ""
    return f"return status {status}{payload} hdr Server awselb/2.0"


def _fixed(given: Mapping[str, str], when: str) -> str:
    body, kind = given.get("MessageBody") or "", given.get("ContentType") or ""
    return f"http-request {answer(int(given['StatusCode']), kind, body)} if {when}"


def _redirect(given: Mapping[str, str], when: str, protocol: str, port: int) -> list[str]:
    values = {"protocol": protocol, "host": f"%[{HOST}]", "port": str(port), "path": "%[path,bytes(1)]"}

    def filled(text: str, query: str) -> str:
        parts = values | {"query": query}
        literal = _PLACEHOLDER.split(text)
        return "".join(parts[part] if at % 2 else part.replace("%", "%%") for at, part in enumerate(literal))

    scheme = given.get("Protocol", "#{protocol}").lower()
    path, query = given.get("Path", "/#{path}"), given.get("Query", "#{query}")
    location = f"{scheme}://{given.get('Host', '#{host}')}:{given.get('Port', '#{port}')}"
    code = str(given["StatusCode"]).removeprefix("HTTP_")

    def line(target: str, condition: str) -> str:
        return f"http-request redirect code {code} location {quote(target)} if {condition}"

    whole = filled(location, "") + ("%[path]" if path == "/#{path}" else filled(path, ""))
    if "#{query}" not in query:
        return [line(f"{whole}?{filled(query, '')}" if query else whole, when)]
    with_query = f"{whole}?{filled(query, '%[query]')}"
    return [line(with_query, f"{when} {_HAS_QUERY}"), line(whole, f"{when} !{_HAS_QUERY}")]


def _login(action: Action, when: str, protocol: str, port: int) -> list[str]:
    """Refuse, or send to the provider, whoever has no session: everybody."""
    given = action.get("AuthenticateOidcConfig") or action.get("AuthenticateCognitoConfig") or {}
    wanted = given.get("OnUnauthenticatedRequest", "authenticate")
    if wanted == "allow":
        return []
    if wanted == "deny" or "AuthorizationEndpoint" not in given:
        return [f"http-request {answer(401)} if {when}"]
    asked = {"client_id": given["ClientId"], "response_type": "code", "scope": given.get("Scope", "openid")}
    query = urlencode(asked).replace("%", "%%")
    back = f"{protocol}%%3A%%2F%%2F%[{HOST}]%%2Foauth2%%2Fidpresponse"
    target = f"{given['AuthorizationEndpoint']}?{query}&redirect_uri={back}"
    return [f"http-request redirect code 302 location {quote(target)} if {when}"]
