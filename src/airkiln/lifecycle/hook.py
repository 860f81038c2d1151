"""The lifecycle action of the Auto Scaling group's hook: extended, and completed.

The client is made with the first call, because a worker that is not ending does without botocore's memory.
"""

from __future__ import annotations

from airkiln.aws.clients import Clients, Make, error_code
from airkiln.host.instance import Instance
from airkiln.lifecycle.model import HookCall, HookReply
from airkiln.pools.model import DEFAULT, group_name

NAME = "airkiln-drain"
"""The hook's name in cloudformation/workers.yaml."""
NO_ACTION = "ValidationError"
"""Auto Scaling's answer where no action is active for the instance, and where there is no such hook."""


class Hook:
    """Calls for one instance. `failure` is why the last one failed, for the journal."""

    def __init__(self, make: Make | None = None) -> None:
        self._make = make
        self._clients: Clients | None = None
        self.failure = ""

    def call(self, which: HookCall, instance: Instance) -> HookReply:
        """Make one call. Never raises."""
        if instance.instance_id is None:
            self.failure = "instance.json does not name the instance"
            return HookReply.FAILED
        about = {
            "LifecycleHookName": NAME,
            "AutoScalingGroupName": group_name(instance.environment or "", instance.pool or DEFAULT),
            "InstanceId": instance.instance_id,
        }
        try:
            if self._clients is None:
                self._clients = Clients(instance.region, self._make)
            client = self._clients.get("autoscaling")
            if which is HookCall.HEARTBEAT:
                client.record_lifecycle_action_heartbeat(**about)
            else:
                client.complete_lifecycle_action(**about, LifecycleActionResult="CONTINUE")
        except Exception as error:  # of any kind: reported, and tried again
            self.failure = error_code(error)
            return HookReply.ABSENT if self.failure == NO_ACTION else HookReply.FAILED
        self.failure = ""
        return HookReply.DONE
