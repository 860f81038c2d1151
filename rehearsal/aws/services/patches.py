"""The patches of all services. Install them before moto serves requests."""

from __future__ import annotations

from rehearsal.aws.services.autoscaling.patches import PATCHES as AUTOSCALING
from rehearsal.aws.services.ec2.patches import PATCHES as EC2
from rehearsal.aws.services.elasticache.patches import PATCHES as ELASTICACHE
from rehearsal.aws.services.elbv2.patches import PATCHES as ELBV2
from rehearsal.aws.services.patching import Patches
from rehearsal.aws.services.rds.patches import PATCHES as RDS
from rehearsal.aws.services.route53.patches import PATCHES as ROUTE_53
from rehearsal.aws.services.s3.patches import PATCHES as S3
from rehearsal.aws.services.servicequotas.patches import PATCHES as SERVICE_QUOTAS
from rehearsal.aws.services.sts.patches import PATCHES as STS

PATCHES = Patches((*AUTOSCALING, *EC2, *ELASTICACHE, *ELBV2, *RDS, *ROUTE_53, *S3, *SERVICE_QUOTAS, *STS))
