"""The daemon of the rehearsal: the AWS APIs at 10.42.0.2:4566 and the metadata service at 169.254.169.254.

moto serves every API (S3, SQS, SSM, IAM, STS, CloudWatch, …) from memory; the packages of
``rehearsal.aws.services`` make EC2 and Auto Scaling real and replace CloudFormation. What AWS does to
instances unasked is ordered through
``rehearsal.aws.fault_api``. It runs inside the region's network namespace. The only state that outlives
it is the catalogue of images. Requests are not authenticated.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

from rehearsal.aws.account import endpoint_url
from rehearsal.linux.addresses import ENDPOINT, ENDPOINT_PORT, METADATA
from rehearsal.linux.processes import Process
from rehearsal.region import Region, current

READY = "aws.ready"


def serve(region: Region) -> None:
    """Serve until the process is ended; the file ``run/aws.ready`` appears once both services answer."""
    # moto reads these at import: no images of Amazon's own, only ours.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    os.environ["MOTO_PORT"] = str(ENDPOINT_PORT)
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - after the environment is set
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    from rehearsal.aws.fault_api import Interruptions  # noqa: PLC0415
    from rehearsal.aws.services.autoscaling import backend as autoscaling  # noqa: PLC0415
    from rehearsal.aws.services.cloudformation import responses  # noqa: PLC0415
    from rehearsal.aws.services.ec2 import backend as ec2  # noqa: PLC0415
    from rehearsal.aws.services.ec2 import metadata  # noqa: PLC0415
    from rehearsal.aws.timers import Schedule  # noqa: PLC0415

    schedule = Schedule()
    backend = ec2.install(region)
    autoscaling.install(schedule)
    responses.install(endpoint_url())
    interruptions = Interruptions(
        schedule,
        backend.rehearsed,
        lambda instance_id: autoscaling.backend().recommend_rebalance(instance_id),
    )
    served = metadata.server((str(METADATA), 80), backend.facts, interruptions.hold)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    apis = make_server(
        str(ENDPOINT),
        ENDPOINT_PORT,
        interruptions.around(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    own = Process.of(os.getpid())
    if own is not None:
        own.write(region.run / READY)
    schedule.start()
    apis.serve_forever()


def main() -> int:
    """Run as ``python -m rehearsal.aws`` inside the region's namespace."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    serve(current())
    return 0
