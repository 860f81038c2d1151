"""The lifecycle action of the group's hook: kept waiting, and completed.

botocore is imported with the first call: a worker that is not ending does without its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

from airkiln.lifecycle.model import HookAnswer, Told
from airkiln.lifecycle.runtime import HOOK, Host

NO_ACTION = "ValidationError"
"""What Auto Scaling answers where no action is active for the instance, and where there is no such hook."""


class Hook:
    """Calls for one instance. `trouble` is why the last one failed."""

    def __init__(self, client: Callable[[str | None], Any] | None = None) -> None:
        self._make = client or create_client
        self._client: Any = None
        self.trouble = ""

    def tell(self, told: Told, host: Host) -> HookAnswer:
        """Make one call. Never raises."""
        if host.instance is None:
            self.trouble = "the boot path has not said which instance this is"
            return HookAnswer.FAILED
        try:
            if self._client is None:
                self._client = self._make(host.region)
            which = {
                "LifecycleHookName": HOOK,
                "AutoScalingGroupName": host.group,
                "InstanceId": host.instance,
            }
            if told is Told.HEARTBEAT:
                self._client.record_lifecycle_action_heartbeat(**which)
            else:
                self._client.complete_lifecycle_action(**which, LifecycleActionResult="CONTINUE")
        except Exception as error:  # of whatever kind: told, and tried again
            self.trouble = _code(error)
            return HookAnswer.ABSENT if self.trouble == NO_ACTION else HookAnswer.FAILED
        self.trouble = ""
        return HookAnswer.DONE


def create_client(region: str | None) -> Any:  # noqa: ANN401 - botocore's clients have no type at run time
    """Auto Scaling's client. Not boto3: a resource layer and a session of its own would cost memory."""
    session = resolve_name("botocore.session:get_session")()
    config = resolve_name("botocore.config:Config")(
        connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2}
    )
    return session.create_client("autoscaling", region_name=region, config=config)


def _code(error: Exception) -> str:
    """AWS's code of the error where it has one."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(error).__name__)
