"""Emulates Elastic Load Balancing: moto's API and records, and Application Load Balancers that balance.

A load balancer has a network interface in its first subnet. HAProxy (``haproxy``) listens at its address, as
its listeners say (``configuration``), and the load balancer is ``provisioning`` until then. A change of
listeners, rules, target groups, targets or attributes takes effect within a second or two. Health checks are
HAProxy's, and DescribeTargetHealth tells what they found (``health``). A target that deregisters gets no new
connection and keeps those that it has for the deregistration delay. Certificates are those of Certificate
Manager, versions of TLS and ciphers those of the security policy. Source: the Elastic Load Balancing API
reference, and the user guide for Application Load Balancers.

Left out: Network and Gateway Load Balancers; targets but instances and addresses, and a target at several
ports; a node in each zone, and the loss of one; stickiness, slow start, and weights between target groups
(the heaviest gets all); logins with an identity provider (nobody has a session), web ACLs; access logs,
metrics; client_keep_alive, modes of desync mitigation, X-Amzn headers, connections to targets that are used
again; certificates of IAM. A change ends connections to any target that last longer than the longest
deregistration delay, and forgets failed checks that were too few to count.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Any, Protocol

from moto.acm.models import acm_backends
from moto.elbv2 import urls
from moto.elbv2.exceptions import ELBClientError, InvalidTargetError, TargetGroupNotFoundError
from moto.elbv2.models import (
    ELBv2Backend,
    FakeHealthStatus,
    FakeLoadBalancer,
    FakeTargetGroup,
    elbv2_backends,
)

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.aws.services.elbv2 import records
from rehearsal.aws.services.elbv2.configuration import backend_of, configuration, state
from rehearsal.aws.services.elbv2.health import Facts, Health, health
from rehearsal.aws.services.elbv2.models import Check, Desired, Target, TargetGroup
from rehearsal.aws.services.patching import Moto

log = logging.getLogger(__name__)
COALESCE = 0.2
"""Seconds in which further changes join the first."""
APPLICATION = "application"
Key = tuple[str, str]
"""ARN of a target group, and id of a target."""


class Server(Protocol):
    """What listens for the load balancers; ``haproxy.HAProxy`` is one."""

    def apply(self, desired: Desired, state: str) -> None:
        """Serve this and nothing else."""

    def health(self) -> dict[tuple[str, str], Check]:
        """What the last health checks found, by backend and server."""

    def remove(self) -> None:
        """Remove the server."""


def in_background(job: Callable[[], None]) -> None:
    """Run a job in a thread of its own."""
    threading.Thread(target=job, daemon=True).start()


class EmulatedELB(ELBv2Backend):
    """Elastic Load Balancing in one AWS region."""

    server: Server
    clock: Callable[[], float] = staticmethod(time.monotonic)
    submit: Callable[[Callable[[], None]], None] = staticmethod(in_background)
    """Runs what takes longer than a request; unit tests replace it."""
    moved: Callable[[], None]
    """Is called after a change of what ``endpoints`` lists."""

    def __init__(self, *args: Moto, **options: Moto) -> None:
        super().__init__(*args, **options)
        self._lock, self._serving = threading.Lock(), threading.Lock()
        self._pending = False
        self._served: Desired | None = None
        self._served_targets: set[Key] = set()
        self._active: set[str] = set()
        self._interfaces: dict[str, Moto] = {}
        self._registered: dict[Key, float] = {}
        self._draining: dict[Key, float] = {}
        self._proven: set[Key] = set()

    @property
    def _url_module(self) -> Moto:
        """moto looks for a service's URLs beside the backend's module, which is not true of this one."""
        return urls

    def create_load_balancer(self, *args: Moto, **options: Moto) -> FakeLoadBalancer:
        """Record the load balancer and give it a network interface, then serve it."""
        made = super().create_load_balancer(*args, **options)
        if made.type == APPLICATION:
            subnet = made.subnets[0]
            address = subnet.get_available_subnet_ip(made)  # type: ignore[arg-type]  # whoever has it
            identity = made.arn.rpartition("loadbalancer/")[2]
            self._interfaces[made.arn] = self.ec2_backend.create_network_interface(
                subnet, address, group_ids=made.security_groups, description=f"ELB {identity}"
            )
            self.moved()
            self.changed()
        return made

    def describe_load_balancers(self, *args: Moto, **options: Moto) -> list[FakeLoadBalancer]:
        """Return load balancers; they are active once they are served."""
        found = super().describe_load_balancers(*args, **options)
        for each in found:
            if each.type == APPLICATION:
                each.state = "active" if each.arn in self._active else "provisioning"
        return found

    def delete_load_balancer(self, arn: str) -> None:
        """Delete the load balancer and its network interface."""
        super().delete_load_balancer(arn)
        interface = self._interfaces.pop(arn, None)
        if interface is not None:
            self.ec2_backend.enis.pop(interface.id, None)
            interface.subnet.del_subnet_ip(interface.private_ip_address)
            self.moved()
            self.changed()

    def set_security_groups(self, arn: str, sec_groups: list[str]) -> None:
        """Give the load balancer, and with it its network interface, these security groups."""
        super().set_security_groups(arn, sec_groups)
        interface = self._interfaces.get(arn)
        if interface is not None:
            interface._group_set = [self.ec2_backend.get_security_group_from_id(each) for each in sec_groups]
            self.moved()

    def register_targets(self, target_group_arn: str, instances: list[Any]) -> None:
        """Register targets; a target that is registered already goes on.

        :raises ELBClientError: a target is neither a known instance nor an address, as its group wants it.
        """
        for target in instances:
            self._check_target(self._group(target_group_arn), target["Id"])
        super().register_targets(target_group_arn, instances)
        for target in instances:
            key = (target_group_arn, target["Id"])
            self._registered.setdefault(key, self.clock())
            self._draining.pop(key, None)
        self.changed()

    def deregister_targets(self, target_group_arn: str, instances: list[dict[str, Any]]) -> None:
        """Deregister targets: they drain for the deregistration delay."""
        super().deregister_targets(target_group_arn, instances)
        self._drain((target_group_arn, target["Id"]) for target in instances)
        self.changed()

    def notify_terminate_instances(self, instance_ids: list[str]) -> None:
        """Deregister instances that end."""
        super().notify_terminate_instances(instance_ids)
        self._drain([key for key in list(self._registered) if key[1] in instance_ids])
        self.changed()

    def describe_target_health(
        self, target_group_arn: str, targets: list[dict[str, Any]]
    ) -> list[FakeHealthStatus]:
        """Return the health of these targets, or of all that are registered or drain."""
        group = self._group(target_group_arn)
        known = group.deregistered_targets | group.terminated_targets | group.targets
        wanted = targets or [{"Id": name} for name in self._listed(group)]
        checks = self.look()
        answer = []
        for each in wanted:
            name = each["Id"]
            port = each.get("Port") or known.get(name, {}).get("Port", group.port)
            found = self._health(group, name, checks)
            said = (found.state, found.reason, found.description)
            answer.append(FakeHealthStatus(name, port, group.health_check_port, *said))
        return answer

    def states(self, arn: str) -> dict[str, str]:
        """The state of each target that is registered with a target group or drains."""
        group = self.target_groups.get(arn)
        if group is None:
            return {}
        checks = self.look()
        return {name: self._health(group, name, checks).state for name in self._listed(group)}

    def changed(self) -> None:
        """Serve what the records say by now, in the background."""
        with self._lock:
            if self._pending:
                return
            self._pending = True
        self.submit(self._serve)

    def watch(self) -> None:
        """Look whether new targets have passed their first health check, if there are any."""
        if self._served_targets - self._proven:
            self.submit(self._look_once)

    def look(self) -> dict[tuple[str, str], Check]:
        """What the last health checks found. From its first success on, a target's threshold counts."""
        found = self.server.health() if self._served else {}
        new = {
            (arn, name)
            for arn, name in self._served_targets - self._proven
            if arn in self.target_groups and (check := _check(found, self.target_groups[arn], name))
            if check.up
        }
        if new:
            self._proven |= new
            self.changed()
        return found

    def _look_once(self) -> None:
        self.look()

    def _serve(self) -> None:
        time.sleep(COALESCE)
        with self._serving:
            with self._lock:
                self._pending = False
            try:
                self._serve_now()
            except Exception:
                log.exception("The load balancers' configuration was not loaded")

    def _serve_now(self) -> None:
        arns = [arn for arn in list(self.load_balancers) if arn in self._interfaces]
        if not arns:
            if self._served is not None:
                self.server.remove()
            self._served, self._active, self._served_targets = None, set(), set()
            return
        groups, desired = self._desired(arns)
        if desired != self._served:
            checks = self.look()

            def healthy(group: TargetGroup, target: Target) -> bool:
                found = checks.get((backend_of(group.name), target.name))
                return target.proven and found is not None and found.up

            self.server.apply(desired, state(groups.values(), healthy))
            self._served = desired
        self._served_targets = {(arn, each.name) for arn in groups for each in groups[arn].targets}
        self._active = set(arns)

    def _desired(self, arns: list[str]) -> tuple[dict[str, TargetGroup], Desired]:
        certificates = records.Certificates(acm_backends[self.account_id][self.region_name].get_certificate)
        balancers, groups = [], {}
        for arn in arns:
            record = self.load_balancers[arn]
            address = IPv4Address(str(self._interfaces[arn].private_ip_address))
            balancer = records.load_balancer(record, address, certificates)
            balancers.append(balancer)
            for used in dict.fromkeys(records.groups_of(record)):
                if used in self.target_groups:
                    group = self.target_groups[used]
                    groups[used] = records.target_group(group, balancer, self._targets(group))
        text = configuration(balancers, groups)
        return groups, Desired(tuple(each.address for each in balancers), text, certificates.files)

    def _targets(self, group: FakeTargetGroup) -> list[Target]:
        found = []
        for name, target in list(group.targets.items()):
            instance = self.ec2_backend.get_instance_by_id(name)
            address = IPv4Address(str(instance.private_ip) if instance is not None else name)
            proven = (group.arn, name) in self._proven
            found.append(Target(name, address, int(target["Port"]), proven))
        return found

    def _health(self, group: FakeTargetGroup, name: str, checks: dict[tuple[str, str], Check]) -> Health:
        key = (group.arn, name)
        now = self.clock()
        began = self._registered.get(key) if name in group.targets else None
        instance = self.ec2_backend.get_instance_by_id(name)
        patience = int(group.health_check_interval_seconds) * int(group.unhealthy_threshold_count)
        return health(
            Facts(
                registered_for=None if began is None else now - began,
                draining_for=self._draining.get(key, now) - now,
                used=self._any_listener_using(group.arn),
                instance=str(instance.state) if instance is not None else "running",
                served=key in self._served_targets,
                check=_check(checks, group, name),
                decided_after=0 if key in self._proven else patience,
            )
        )

    def _listed(self, group: FakeTargetGroup) -> list[str]:
        now = self.clock()
        draining = [
            name for (arn, name), end in list(self._draining.items()) if arn == group.arn and end > now
        ]
        return [*group.targets, *draining]

    def _check_target(self, group: FakeTargetGroup, name: str) -> None:
        if group.target_type == "instance" and self.ec2_backend.get_instance_by_id(name) is None:
            raise InvalidTargetError
        if group.target_type == "ip":
            try:
                IPv4Address(name)
            except ValueError:
                raise ELBClientError("ValidationError", f"The IP address '{name}' is not valid") from None

    def _drain(self, keys: Iterable[Key]) -> None:
        for key in keys:
            group = self.target_groups.get(key[0])
            if self._registered.pop(key, None) is not None and group is not None:
                self._draining[key] = self.clock() + records.delay(group)
            self._proven.discard(key)

    def _group(self, arn: str) -> FakeTargetGroup:
        group = self.target_groups.get(arn)
        if group is None:
            raise TargetGroupNotFoundError
        return group


def _announced(name: str) -> Moto:
    """The method of moto's with this name, and then what it changed is served."""

    def method(self: EmulatedELB, *args: Moto, **options: Moto) -> Moto:
        answer = getattr(super(EmulatedELB, self), name)(*args, **options)
        self.changed()
        return answer

    return method


for _name in (
    "add_listener_certificates",
    "create_listener",
    "create_rule",
    "delete_listener",
    "delete_rule",
    "modify_listener",
    "modify_load_balancer_attributes",
    "modify_rule",
    "modify_target_group",
    "modify_target_group_attributes",
    "remove_listener_certificates",
    "set_rule_priorities",
):
    setattr(EmulatedELB, _name, _announced(_name))


def _check(found: dict[tuple[str, str], Check], group: FakeTargetGroup, name: str) -> Check | None:
    return found.get((backend_of(group.name), name))


def endpoints() -> list[tuple[str, list[str]]]:
    """The addresses of load balancers, each with the ids of its security groups."""
    interfaces = list(backend()._interfaces.values())
    return [(str(each.private_ip_address), [group.id for group in each.group_set]) for each in interfaces]


def backend() -> EmulatedELB:
    """Return the Elastic Load Balancing of the emulated account and region."""
    found = elbv2_backends[ACCOUNT][aws_region()]
    if not isinstance(found, EmulatedELB):
        raise TypeError("moto served Elastic Load Balancing before install(): call install() before.")
    return found
