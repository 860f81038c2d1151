"""Parameter Store. Importing this costs a third of a second (botocore), so it is imported only where it is
used.

`GetParametersByPath` gives at most 10 parameters a page, possibly none, and the next page only by the token
of the last: one folder is read in sequence, several at the same time. The retries are ours, not botocore's,
so that a fault in the middle repeats one page and keeps those before it.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoRegionError,
)
from botocore.parsers import ResponseParserError
from botocore.session import Session

from airkiln.aws import clients
from airkiln.errors import AirkilnError, DeniedError, UnavailableError
from airkiln.parameters.rules import Parameter
from airkiln.systemd.journal import WARNING, say

CONNECT_TIMEOUT = 2
"""Seconds for a connection: Parameter Store is in the same region, milliseconds away."""
READ_TIMEOUT = 5
"""Seconds for a response."""
PAGE_SIZE = 10
"""The most that GetParametersByPath gives (its MaxResults)."""

_RETRIED_CODES = frozenset(
    {
        "InternalServerError",
        "InternalFailure",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_CLOCK_CODES = frozenset(
    {
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
    }
)
"""A signature is refused from a clock that is minutes off, as it may be before the first synchronisation."""
_DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "InvalidKeyId",
        "NotAuthorized",
        "OptInRequired",
        "UnauthorizedOperation",
    }
)
_SAFE = re.compile(r"[^A-Za-z0-9 .,:;/_*@()=+-]")
_CODE = re.compile(r"[A-Za-z0-9.]{1,60}")


class Client(Protocol):
    """The one operation used of a botocore SSM client."""

    def get_parameters_by_path(self, **request: object) -> Mapping[str, Any]:
        """One page; see the AWS API reference of GetParametersByPath."""


@dataclass(frozen=True)
class Patience:
    """How long to try. Full jitter (each wait is random between 0 and the bound) keeps instances that boot at
    once from retrying in step: aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter.
    """

    attempts: int = 8
    """Attempts at one page."""
    first_wait: float = 0.2
    """Seconds: the bound of the first wait; it doubles with each."""
    longest_wait: float = 5.0
    """Seconds: the largest bound."""
    deadline: float = 60.0
    """Seconds for one folder, all pages and waits."""

    def waits(self) -> Iterator[float]:
        """Seconds to wait after each attempt but the last."""
        bound = self.first_wait
        for _ in range(self.attempts - 1):
            yield random.uniform(0, bound)  # noqa: S311 - spreads load, guards nothing
            bound = min(bound * 2, self.longest_wait)


class SsmSource:
    """Parameters below /airkiln/<environment>/<folder>/ in one region."""

    def __init__(
        self,
        client: Client,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._patience = patience or Patience()
        self._sleep = sleep
        self._clock = clock
        self._given_up = threading.Event()

    def read(self, environment: str, folders: tuple[str, ...]) -> list[Parameter]:
        """See Source. Direct children only: a path's subfolders belong to others."""
        paths = [f"/airkiln/{environment}/{folder}" for folder in folders]
        self._given_up.clear()
        with ThreadPoolExecutor(max_workers=len(paths)) as pool:
            found = list(pool.map(self._folder, paths))
        if not found[0]:
            raise DeniedError(
                f"{paths[0]}: no parameters there: store this environment's parameters under it, "
                "or correct the instance's airkiln:environment tag"
            )
        return [parameter for folder in found for parameter in folder]

    def _folder(self, path: str) -> list[Parameter]:
        parameters: list[Parameter] = []
        token: str | None = None
        deadline = self._clock() + self._patience.deadline
        while True:
            try:
                page = self._page(path, token, deadline)
            except AirkilnError:
                self._given_up.set()  # the other folders need not try on
                raise
            parameters += [
                Parameter(entry["Name"].rpartition("/")[2], entry["Value"], entry["Name"])
                for entry in page["Parameters"]
            ]
            token = page.get("NextToken")
            if not token:
                return parameters

    def _page(self, path: str, token: str | None, deadline: float) -> Mapping[str, Any]:
        """One page, tried again within the patience."""
        request: dict[str, object] = {"Path": path, "WithDecryption": True, "MaxResults": PAGE_SIZE}
        if token:
            request["NextToken"] = token
        attempt, waits = 0, self._patience.waits()
        while True:
            attempt += 1
            try:
                page = self._client.get_parameters_by_path(**request)
                if "Parameters" in page:
                    return page
                reason = (
                    "a broken response"  # cut off where no length was announced: botocore returns no list
                )
            except (BotoCoreError, ClientError, ResponseParserError) as error:
                reason = _reason_to_retry(path, error)
            wait = next(waits, None)
            if wait is None or self._clock() + wait > deadline or self._given_up.is_set():
                break
            say(f"{path}: {reason}; trying again in {wait:.1f} s (attempt {attempt})", WARNING)
            self._sleep(wait)
        raise UnavailableError(
            f"{path}: Parameter Store could not be read: {reason}, attempts: {attempt}: check the network's "
            "way to the ssm endpoint and the account's request limits, then `systemctl restart airkiln-boot`"
        )


def _reason_to_retry(path: str, error: Exception) -> str:
    """A few words, without any content of the response. Raises what a retry does not help."""
    if isinstance(error, ClientError):
        return _client_error_reason(path, error)
    if isinstance(error, CredentialRetrievalError):
        return "no fresh credentials"
    if isinstance(error, EndpointConnectionError):
        return "no connection"
    if isinstance(error, HTTPClientError | ConnectTimeoutError):
        # ReadTimeoutError, ConnectionClosedError, SSLError, ProxyConnectionError ...
        return f"a failed connection ({type(error).__name__})"
    if isinstance(error, ResponseParserError):
        return "a broken response"
    raise _final(path, type(error).__name__) from None


def _client_error_reason(path: str, error: ClientError) -> str:
    details = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    code = code if _CODE.fullmatch(code) else "unknown"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _DENIED_CODES:
        # This message names the caller and the action; it is sent instead of parameters, never with them.
        message = _SAFE.sub("", str(details.get("Message", "")))[:400]
        raise DeniedError(
            f"{path}: access denied ({code}): {message}: let the instance profile call "
            "ssm:GetParametersByPath on this path and kms:Decrypt on its key"
        ) from None
    if code in _RETRIED_CODES:
        return code
    if code in _CLOCK_CODES:
        return f"{code} (is the clock right?)"
    if status >= 500 or status == 429:
        return f"HTTP status {status}"
    raise _final(path, code) from None


def _final(path: str, code: str) -> AirkilnError:
    return DeniedError(
        f"{path}: Parameter Store refused the request ({code}): "
        "check the region, the endpoint and the credentials"
    )


def create_client(
    region: str | None,
    *,
    read_timeout: float = READ_TIMEOUT,
    patience: Patience | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Client:
    """A client by botocore's own rules (AWS_ENDPOINT_URL_SSM, ~/.aws/config, instance profile).

    Its own retries are off. Raises DeniedError when no region is known, UnavailableError when no credentials
    are.
    """
    session = clients.open_session()
    _wait_for_credentials(session, patience or Patience(), sleep)
    try:
        client = clients.create_client(
            session,
            "ssm",
            region,
            clients.CallTimeouts(CONNECT_TIMEOUT, read_timeout, attempts=1),
            max_pool_connections=8,
            user_agent_extra="airkiln",
        )
    except NoRegionError:
        raise DeniedError(
            "no AWS region is known: set `region` in /etc/airkiln/boot.toml, or give --region"
        ) from None
    except BotoCoreError as error:
        raise DeniedError(
            f"no client for Parameter Store could be made ({type(error).__name__}): "
            "check region, endpoint and ~/.aws/config"
        ) from None
    return cast(Client, client)  # botocore makes its operations while it runs


def _wait_for_credentials(session: Session, patience: Patience, sleep: Callable[[float], None]) -> None:
    """Until the session has some: an instance profile may appear seconds after the instance.

    A client keeps the credentials of its making, none too, so this comes before it.
    """
    waits = patience.waits()
    while True:
        try:
            if session.get_credentials() is not None:
                return
            reason = "none found"
        except BotoCoreError as error:
            reason = type(error).__name__
        wait = next(waits, None)
        if wait is None:
            break
        say(f"AWS credentials: {reason}; trying again in {wait:.1f} s", WARNING)
        sleep(wait)
    raise UnavailableError(
        f"AWS credentials: {reason}, attempts: {patience.attempts}: give the instance an instance profile, "
        "then `systemctl restart airkiln-boot`"
    )
