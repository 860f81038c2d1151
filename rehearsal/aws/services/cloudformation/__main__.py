"""Serves an emulated AWS with this CloudFormation on 127.0.0.1, without root.

Instances are moto's records only; the rehearsal's daemon (``rehearsal.aws.server``) boots machines for them.
"""

from __future__ import annotations

import argparse
import logging

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from rehearsal.aws.services.cloudformation.install import install
from rehearsal.aws.services.patches import PATCHES

HOST = "127.0.0.1"


def server(port: int = 0) -> BaseWSGIServer:
    """Return a server that is bound to the port (0: a free one) and not yet serving."""
    application = DomainDispatcherApplication(create_backend_app)
    made = make_server(HOST, port, application, threaded=True, request_handler=MotoRequestHandler)
    PATCHES.install()
    install(f"http://{HOST}:{made.port}")
    return made


def main() -> int:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="rehearsal.aws.services.cloudformation", description=__doc__)
    parser.add_argument("--port", type=int, default=4566, help="port on 127.0.0.1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    made = server(parser.parse_args().port)
    logging.getLogger("rehearsal").info("The emulated AWS serves at http://%s:%d", HOST, made.port)
    made.serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
