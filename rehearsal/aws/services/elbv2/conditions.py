"""Writes the conditions of a listener's rule as ACLs of HAProxy.

The values of a condition are alternatives, and the conditions of a rule must all hold. ``*`` stands for any
characters and ``?`` for one. Paths and methods are compared as they are, the rest without regard to case.
Source: the Application Load Balancers user guide, "Condition types for listener rules".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_CONFIGURATIONS = {
    "host-header": "HostHeaderConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "path-pattern": "PathPatternConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
HOST = "req.hdr(host),field(1,:)"
"""The host name that a request names, without a port."""


def quote(text: str) -> str:
    """One word of a configuration; HAProxy reads nothing between single quotes as special."""
    return "'" + text.replace("'", r"'\''") + "'"


def wildcards(pattern: str) -> str:
    """The regular expression of a pattern with ``*`` and ``?``."""
    special = {"*": ".*", "?": "."}
    return "".join(special.get(letter, re.escape(letter)) for letter in pattern)


def acl(condition: Mapping[str, Any]) -> str:
    """What stands after the name of a condition's ACL.

    :raises ValueError: the condition is of a kind that is not known here.
    """
    field = str(condition["Field"])
    given = condition.get(_CONFIGURATIONS.get(field, ""), {})
    values = list(given.get("Values") or condition.get("Values") or ())
    expressions = list(given.get("RegexValues") or ())
    matched = [*expressions, *(f"^{wildcards(str(value))}$" for value in values)]
    if field == "path-pattern":
        return f"path -m reg -- {_words(matched)}"
    if field == "host-header":
        return f"{HOST} -m reg -i -- {_words(matched)}"
    if field == "http-header":
        return f"req.fhdr({given['HttpHeaderName']}) -m reg -i -- {_words(matched)}"
    if field == "http-request-method":
        return f"method -m str -- {_words(values)}"
    if field == "source-ip":
        return f"src -- {_words(values)}"
    if field == "query-string":
        return f"query -m reg -i -- {_words(map(_parameter, values))}"
    raise ValueError(f"No condition of the kind {field} is known.")


def _parameter(value: Mapping[str, str]) -> str:
    key = wildcards(value["Key"]) if value.get("Key") else "[^=&]*"
    return f"(^|&){key}={wildcards(value['Value'])}(&|$)"


def _words(texts: Iterable[object]) -> str:
    return " ".join(quote(str(text)) for text in texts)
