"""Serves the emulated AWS: the APIs at 10.42.0.2:4566, the instance metadata service at 169.254.169.254 and
the VPC's DNS server at 169.254.169.253.

moto answers every API (S3, SQS, SSM, IAM, STS, CloudWatch, …) from memory. The packages of
``rehearsal.aws.services`` correct it, boot machines for EC2, Auto Scaling and RDS, and replace
CloudFormation. ``rehearsal.aws.fault_api`` takes requests to inject faults. The process runs inside the
region's network namespace. Of its state only the catalogue of images outlives it.

Left out: authentication, request quotas, and authorization, except that STS checks who assumes which role.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

from rehearsal.aws.account import endpoint_url
from rehearsal.linux.addresses import DNS, ENDPOINT, ENDPOINT_PORT, METADATA, RESOLVER
from rehearsal.linux.processes import Process
from rehearsal.region import Region, current

READY = "aws.ready"
"""File in ``Region.run`` that records the process once it serves."""


def serve(region: Region) -> None:
    """Serve until the process is ended. The file ``run/aws.ready`` appears once both services answer."""
    # moto reads these at import. Amazon's own images are not offered.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    os.environ["MOTO_PORT"] = str(ENDPOINT_PORT)
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - after the environment is set
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    from rehearsal.aws.fault_api import FaultApi  # noqa: PLC0415
    from rehearsal.aws.services.autoscaling import backend as autoscaling  # noqa: PLC0415
    from rehearsal.aws.services.ec2 import backend as ec2  # noqa: PLC0415
    from rehearsal.aws.services.ec2 import metadata  # noqa: PLC0415
    from rehearsal.aws.services.install import install  # noqa: PLC0415
    from rehearsal.aws.services.resolver import names  # noqa: PLC0415
    from rehearsal.aws.services.resolver import server as resolver  # noqa: PLC0415
    from rehearsal.aws.timers import Schedule  # noqa: PLC0415

    schedule = Schedule()
    install(region, schedule, endpoint_url())
    tokens = metadata.Tokens()
    faults = FaultApi(
        schedule,
        ec2.backend().emulated,
        lambda instance_id: autoscaling.backend().recommend_rebalance(instance_id),
        forget_tokens=tokens.forget,
    )
    served = metadata.server((str(METADATA), 80), ec2.backend().facts, faults.wait_while_unavailable, tokens)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    resolver.start((str(RESOLVER), 53), resolver.Resolver(names.addresses, (str(DNS), 53)))
    apis = make_server(
        str(ENDPOINT),
        ENDPOINT_PORT,
        faults.wrap(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    own = Process.of(os.getpid())
    if own is not None:
        own.write(region.run / READY)
    schedule.start()
    apis.serve_forever()


def main() -> int:
    """Run as ``python -m rehearsal.aws`` inside the region's network namespace."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    serve(current())
    return 0
