"""What the emulated DNS server of a VPC reproduces."""

from __future__ import annotations

from rehearsal.aws.services.behaviours import Behaviour

_ROUTE_53 = "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide"

BEHAVIOURS = (
    Behaviour(
        "Machines find databases, load balancers and the records of hosted zones by their names; other "
        "questions go to the host's resolver.",
        "https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html",
        "Names of instances, of EFS and of VPC endpoints, records but A, which VPC a hosted zone belongs to.",
    ),
    Behaviour(
        "An alias record answers with the addresses of what it names.",
        f"{_ROUTE_53}/resource-record-sets-choosing-alias-non-alias.html",
    ),
)
