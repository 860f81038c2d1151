"""The instance's own metadata, over IMDSv2 only.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import errno
import http.client
import os
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from airkiln.errors import UnavailableError
from airkiln.host import instance
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout

ENDPOINT = "http://169.254.169.254"
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
"""boto's own variable for another endpoint."""
TIMEOUT = 1.0
"""Seconds for each step. IMDS is on the host itself and answers within milliseconds."""
ATTEMPTS = 5
"""Tries of one request, with short waits between: about 8 s at the worst."""
TOKEN_SECONDS = 300

_NOBODY_THERE = frozenset({errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})


class _TokenRefusedError(Exception):
    """401: the token is unknown. Instance metadata may forget its tokens when EC2 moves the instance."""


class NoImdsError(Exception):
    """This host has no instance metadata service: it is not an EC2 instance."""


class Imds:
    """One connection to IMDS. Close it, or use it in a `with`.

    :param endpoint: default: AWS_EC2_METADATA_SERVICE_ENDPOINT, or the link-local address.
    :param is_ec2: this host is an EC2 instance, so metadata that refuses connections is only away: every
        method raises UnavailableError then, never NoImdsError.
    :param timeout: seconds for each step of a request.
    :param attempts: attempts at one request, with short waits between them.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        is_ec2: bool = False,
        timeout: float = TIMEOUT,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(endpoint or os.environ.get(ENDPOINT_VARIABLE) or ENDPOINT)
        self._host = parts.hostname or "169.254.169.254"
        self._connection = http.client.HTTPConnection(self._host, parts.port, timeout=timeout)
        self._is_ec2 = is_ec2
        self._attempts = attempts
        self._sleep = sleep
        self._clock = time.monotonic
        self._token: str | None = None
        self._renew_at = 0.0
        self._reached = False

    def __enter__(self) -> Imds:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def identity(self) -> Instance:
        """Read the facts about this instance.

        Raises NoImdsError where there is no metadata, UnavailableError where it does not answer.
        """
        return Instance(
            instance_id=self.get("meta-data/instance-id"),
            region=self.get("meta-data/placement/region"),
            role=self.tag("airkiln:role"),
            environment=self.tag("airkiln:environment"),
            pool=self.tag("airkiln:pool"),
            task_role=self.tag("airkiln:task-role"),
        )

    def tag(self, key: str) -> str | None:
        """The instance's tag, or None if it has none (or its launch did not put tags into metadata)."""
        return self.get(f"meta-data/tags/instance/{key}")

    def get(self, path: str) -> str | None:
        """The text at /latest/`path`, or None for 404. A refused token (401) is replaced at once."""
        for attempt in range(1, self._attempts + 1):
            try:
                text = self._ask("GET", path, {"X-aws-ec2-metadata-token": self._valid_token()})
            except _TokenRefusedError:
                self._token = None
                if attempt > 1:
                    self._sleep(min(0.1 * 2**attempt, 1.0))
            else:
                return text.strip() if text is not None else None
        raise UnavailableError(
            f"instance metadata refused {self._attempts} new tokens for {path} (HTTP status 401): "
            "check that no proxy stands between, then `systemctl restart airkiln-boot`"
        )

    def _valid_token(self) -> str:
        if self._token is None or self._clock() > self._renew_at:
            seconds = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            self._renew_at = self._clock() + TOKEN_SECONDS / 2
            self._token = self._ask("PUT", "api/token", seconds)
            if self._token is None:
                raise NoImdsError("the metadata address answers, but has no IMDSv2")
        return self._token

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str | None:
        reason = ""
        for attempt in range(1, self._attempts + 1):
            if attempt > 1:
                self._connection.close()
                self._sleep(min(0.1 * 2**attempt, 1.0))
            try:
                if self._connection.sock is None:
                    self._connection.connect()
                self._reached = True
                self._connection.request(method, f"/latest/{path}", headers=headers)
                answer = self._connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                reason = self._reason(error)
                if attempt >= 2 and not self._reached and not self._is_ec2:
                    raise NoImdsError(f"nothing answers at {self._host}") from None
                continue
            if answer.status == 404:
                return None
            if answer.status == 200:
                return body.decode()
            if answer.status == 401 and method == "GET":
                raise _TokenRefusedError
            reason = f"HTTP status {answer.status}"
            if self._token is None and answer.status < 500 and not self._is_ec2:
                raise NoImdsError(f"{self._host} is another cloud's metadata: no IMDSv2 ({reason})")
            if answer.status in (400, 403):
                raise UnavailableError(
                    f"instance metadata refused {path} ({reason}): enable it on the instance (HttpEndpoint, "
                    "HttpTokens=required)"
                )
        raise UnavailableError(
            f"instance metadata did not answer for {path} ({reason}, {self._attempts} times): "
            "check the instance's network, then `systemctl restart airkiln-boot`"
        )

    def _reason(self, error: Exception) -> str:
        if (
            isinstance(error, OSError)
            and error.errno in _NOBODY_THERE
            and not self._reached
            and not self._is_ec2
        ):
            raise NoImdsError(f"nothing listens at {self._host}") from None
        return "too slow" if isinstance(error, TimeoutError) else type(error).__name__


def made_by_amazon(layout: Layout) -> bool:
    """Whether the firmware of this machine names EC2, as that of every Nitro instance does."""
    try:
        return layout.dmi_vendor.read_text(encoding="utf-8").strip() == "Amazon EC2"
    except OSError:
        return False


def connect(layout: Layout) -> Imds:
    """A connection for a daemon. It reads every few seconds, so each request is attempted only twice.

    Where the boot path has found an instance, metadata that refuses connections will come back.
    """
    is_ec2 = instance.read(layout).instance_id is not None or made_by_amazon(layout)
    return Imds(is_ec2=is_ec2, timeout=TIMEOUT, attempts=2)
