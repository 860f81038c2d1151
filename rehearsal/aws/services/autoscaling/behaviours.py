"""What the emulated Auto Scaling reproduces."""

from __future__ import annotations

from rehearsal.aws.services.behaviours import Behaviour

_GUIDE = "https://docs.aws.amazon.com/autoscaling/ec2/userguide"
_REFERENCE = "https://docs.aws.amazon.com/autoscaling/ec2/APIReference"

BEHAVIOURS = (
    Behaviour(
        "Instances take the documented lifecycle states only, by the documented transitions; the metadata "
        "show the state that they are on the way to.",
        f"{_GUIDE}/ec2-auto-scaling-lifecycle.html",
        "Warm pools, and the states of the strategy ReplaceRootVolume.",
    ),
    Behaviour(
        "A launching or terminating instance waits for the hooks of its group: heartbeats, time-outs and "
        "default results, at most 48 hours or a hundred heartbeats. An abandoned launch is terminated and "
        "replaced.",
        f"{_GUIDE}/lifecycle-hooks-overview.html",
        "Notifications to SNS, SQS and EventBridge.",
    ),
    Behaviour(
        "An InstanceLifecyclePolicy retains an instance whose termination a hook abandons, and the group "
        "replaces it. Its end runs the hooks again.",
        f"{_GUIDE}/manage-retained-instances.html",
        "The metric of retained instances.",
    ),
    Behaviour(
        "A deletion with ForceDelete waits for no hook.",
        f"{_GUIDE}/lifecycle-hooks.html",
        "The wait for termination hooks that AWS is reported to make nevertheless.",
    ),
    Behaviour(
        "Instances enter and leave Standby, are detached and attached, within the sizes of the group.",
        f"{_GUIDE}/as-enter-exit-standby.html",
        "Connection draining, and launch hooks after Standby, of which AWS says nothing.",
    ),
    Behaviour(
        "An instance is replaced that EC2 does not run, that a load balancer finds unhealthy after the "
        "grace period, or that SetInstanceHealth marks.",
        f"{_GUIDE}/health-checks-overview.html",
        "Status checks of running instances, EBS and VPC Lattice.",
    ),
    Behaviour(
        "A suspended process stops what AWS documents, and no more.",
        f"{_GUIDE}/understand-how-suspending-processes-affects-other-processes.html",
        "ScheduledActions, which the emulation does not have, and suspensions that AWS makes itself.",
    ),
    Behaviour(
        "An instance refresh replaces instances within the healthy percentages, with warm-up, "
        "checkpoints, bake time, alarms, skip matching, protected instances and those on standby.",
        f"{_GUIDE}/instance-refresh-overview.html",
        "Weights, the strategy ReplaceRootVolume, events.",
    ),
    Behaviour(
        "A refresh is cancelled, or rolled back to a numbered version of the launch template, by request "
        "or when it fails. Meanwhile the group refuses another configuration.",
        f"{_GUIDE}/instance-refresh-rollback.html",
        "How a launch template is merged into a mixed instances policy: it takes its place.",
    ),
    Behaviour(
        "Launches are spread over the zones of a group, go elsewhere where a zone has no capacity, and "
        "AZRebalance moves instances back, with the replacement first.",
        f"{_GUIDE}/auto-scaling-benefits.html",
        "The margin of ten percent: one instance is moved at a time.",
    ),
    Behaviour(
        "Scale-in spares protected instances, and keeps zones and the share of On-Demand Instances "
        "balanced. Then the oldest version of the launch template ends first.",
        f"{_GUIDE}/ec2-auto-scaling-termination-policies.html",
        "The rule of the next billing hour, and policies by launch configuration or Lambda function.",
    ),
    Behaviour(
        "A mixed instances policy divides a group into On-Demand and Spot Instances.",
        f"{_GUIDE}/ec2-auto-scaling-mixed-instances-groups.html",
        "Allocation strategies and weights: the first type is launched.",
    ),
    Behaviour(
        "With CapacityRebalance an instance that EC2 recommends to replace ends once its replacement serves.",
        f"{_GUIDE}/ec2-auto-scaling-capacity-rebalancing.html",
    ),
    Behaviour(
        "A target tracking policy on the use of processors scales out after three minutes and in after "
        "fifteen.",
        f"{_GUIDE}/as-scaling-target-tracking.html",
        "Other metrics and kinds of policies, cool-downs, and the use of processors itself: the rehearsal "
        "does not measure it, so the policy has no data.",
    ),
    Behaviour(
        "Sizes, hooks, preferences and states that contradict the API reference are refused.",
        f"{_REFERENCE}/Welcome.html",
        "Limits of an account, several InstanceIds in one TerminateInstanceInAutoScalingGroup.",
    ),
)
"""In the order of an instance's life."""
