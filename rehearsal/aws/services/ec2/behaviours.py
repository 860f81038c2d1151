"""What the emulated EC2 reproduces."""

from __future__ import annotations

from rehearsal.aws.services.behaviours import Behaviour

_GUIDE = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide"
_REFERENCE = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference"

BEHAVIOURS = (
    Behaviour(
        "An instance is pending until its machine runs. It is stopped, started, rebooted and terminated "
        "by request, and stopped or terminated when its machine powers itself off.",
        f"{_REFERENCE}/API_RunInstances.html",
        "Placement, capacity and quotas, public addresses, console output, volumes as devices, encryption.",
    ),
    Behaviour(
        "CreateImage, CopyImage and DeregisterImage act on the machines' file systems, and images outlast "
        "the daemon.",
        f"{_REFERENCE}/API_CreateImage.html",
        "Snapshots as objects, sharing, other Regions.",
    ),
    Behaviour(
        "The metadata service identifies an instance by its address and requires a token, which is valid "
        "for that address.",
        f"{_GUIDE}/configuring-instance-metadata-service.html",
        "Version 1, hop limits, maintenance events, categories that nothing here reads, real credentials.",
    ),
    Behaviour(
        "A Spot notice and a rebalance recommendation appear in the metadata, on demand; when a notice "
        "has run out, the machine loses its power.",
        f"{_GUIDE}/spot-instance-termination-notices.html",
        "The shutdown that EC2 begins first, and notices to stop or hibernate.",
    ),
    Behaviour(
        "Security groups are enforced between machines, load balancers and databases, with connection "
        "tracking. A change counts at once, and connections that exist continue.",
        f"{_GUIDE}/security-group-connection-tracking.html",
        "Network ACLs, the way to the AWS APIs, what is opened from outside of the VPC.",
    ),
)
