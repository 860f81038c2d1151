"""botocore clients: made when they are first used, with time-outs, from the small service models in models/.

botocore's own description of a service costs up to 20 MB of memory and 0.1 s; of each service Airkiln uses
a few operations, whose part of the description tools/service_models.py writes. Not boto3: its resource layer
would cost memory for nothing. botocore itself is imported with the first client, because most processes
never need one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from airkiln.errors import AirkilnError

MODELS = Path(__file__).with_name("models")
"""Parts of botocore's service models, in botocore's own form. botocore reads them before its own."""


@dataclass(frozen=True)
class CallTimeouts:
    """How long one call may take. The defaults are for daemons, which call again in their next cycle."""

    connect: float = 3
    """Seconds for a connection."""
    read: float = 5
    """Seconds for each part of the answer."""
    attempts: int = 2
    """Attempts by botocore."""


def open_session() -> Any:  # noqa: ANN401 - botocore has no types at run time
    """A botocore session that finds the models above. A session is for one thread, its clients for any."""
    session = resolve_name("botocore.session:get_session")()
    session.set_config_variable("data_path", str(MODELS))
    return session


def create_client(
    session: Any,  # noqa: ANN401
    service: str,
    region: str | None,
    timeouts: CallTimeouts = CallTimeouts(),
    **more: Any,  # noqa: ANN401 - settings of botocore.config.Config
) -> Any:  # noqa: ANN401
    """A client. Region, endpoint and credentials are found by botocore's own rules where `region` is None.

    Raises botocore's errors, NoRegionError among them.
    """
    config = resolve_name("botocore.config:Config")(
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
        retries={"total_max_attempts": timeouts.attempts},
        **more,
    )
    return session.create_client(service, region_name=region, config=config)


def make_client(service: str, region: str | None) -> Any:  # noqa: ANN401
    """One client of a session of its own."""
    return create_client(open_session(), service, region)


Make = Callable[[str, str | None], Any]


class Clients:
    """Clients of one region, kept. All are of one session.

    :param make: makes a client of a service in a region; a test gives its own.
    """

    def __init__(self, region: str | None = None, make: Make | None = None) -> None:
        self.region = region
        self._make = make or self._of_one_session
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def get(self, service: str) -> Any:  # noqa: ANN401
        """The client of a service, such as "autoscaling"."""
        if service not in self._clients:
            self._clients[service] = self._make(service, self.region)
        return self._clients[service]

    def _of_one_session(self, service: str, region: str | None) -> Any:  # noqa: ANN401
        if self._session is None:
            self._session = open_session()
        return create_client(self._session, service, region)


def errors() -> tuple[type[Exception], ...]:
    """What a call by a client raises, for `except`."""
    module = resolve_name("botocore.exceptions")
    return module.BotoCoreError, module.ClientError


def error_code(error: Exception) -> str:
    """The code of an AWS error, such as "AccessDenied"; the name of the exception for any other."""
    return str(_details(error).get("Code") or type(error).__name__)


def describe_error(error: Exception) -> str:
    """An error in one line for the journal: AWS's code and message, or an AirkilnError's own text.

    Of any other exception only the name: its text may hold what was sent.
    """
    if isinstance(error, AirkilnError):
        return " ".join(str(error).split())
    return f"{error_code(error)}: {_details(error).get('Message', '')}".rstrip(": ")


def _details(error: Exception) -> dict[str, Any]:
    response = getattr(error, "response", None)
    found = response.get("Error") if isinstance(response, dict) else None
    return found if isinstance(found, dict) else {}
