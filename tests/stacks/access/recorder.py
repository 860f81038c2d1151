"""A local AWS that writes down what it is asked: moto behind a listener, calls recorded as they come by HTTP.

Recording the requests themselves needs nothing of who sends them: boto3, kombu's own asynchronous client and
a program of any language are recorded alike. Only what access depends on is kept of a call (whose parameter,
which queue, which object), never a value.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

import botocore.session
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ENVIRONMENT = "test"
REGION = "eu-west-1"
ACCOUNT = "123456789012"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "recorded",
    "AWS_SECRET_ACCESS_KEY": "recorded",
    "AWS_DEFAULT_REGION": REGION,
}

KEPT = (
    "AutoScalingGroupName",
    "Bucket",
    "InstanceId",
    "Key",
    "LifecycleHookName",
    "LogicalResourceId",
    "Namespace",
    "Path",
    "Prefix",
    "QueueUrl",
    "Recursive",
    "StackName",
    "RoleArn",
    "WithDecryption",
    "cluster",
    "logGroupName",
    "logStreamName",
    "task",
    "taskDefinition",
    "tasks",
)
"""The parameters on which access depends, by the names of the AWS API."""

_SIMULATED = {"s3", "sqs", "ssm", "sts"}
"""Services that answer from moto; any other only says yes."""
_SERVICES = {"monitoring": "cloudwatch"}
"""Where a service signs by another name than its permissions have."""
_SIGNED_FOR = re.compile(r"Credential=[^/]+/\d+/[a-z0-9-]+/([a-z0-9-]+)/aws4_request")
_CBOR_NAMESPACE = re.compile(rb"iNamespace([\x60-\x77])")


class Call(NamedTuple):
    """One call, as far as access depends on it."""

    service: str
    operation: str
    on: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"call": f"{self.service}:{self.operation}", "on": dict(self.on)}


Environ = dict[str, Any]
Answer = Callable[..., Any]


class Recorder:
    """A WSGI application that keeps each call and passes it on."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._simulation = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, answer: Answer) -> Iterable[bytes]:
        body = _body(environ)
        call = understood(environ, body)
        with self._lock:
            self._calls.append(call)
        if call.service in _SIMULATED:
            return self._simulation(environ, answer)  # type: ignore[no-any-return] # moto
        content = _yes(call, environ)
        answer("200 OK", [("Content-Type", content[0]), ("smithy-protocol", "rpc-v2-cbor")])
        return [content[1]]

    def taken(self) -> list[Call]:
        """The calls since the last time that they were taken, each once, in order of their names."""
        with self._lock:
            calls, self._calls = self._calls, []
        distinct = {json.dumps(call.as_json(), sort_keys=True): call for call in calls}
        return [distinct[key] for key in sorted(distinct)]


class _Quiet(WSGIRequestHandler):
    """The calls are the log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def recording() -> Iterator[tuple[Recorder, str]]:
    """A recorder and its address, while it listens."""
    moto_api_backend.reset()
    recorder = Recorder()
    server = make_server("127.0.0.1", 0, recorder, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield recorder, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


def client(service: str, endpoint: str) -> Any:  # noqa: ANN401 - botocore makes its operations at run time
    """Somebody who furnishes what is recorded; these calls are recorded too."""
    return botocore.session.get_session().create_client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="recorded",
        aws_secret_access_key="recorded",
    )


def make_bucket(endpoint: str, name: str) -> None:
    client("s3", endpoint).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )


def understood(environ: Environ, body: bytes) -> Call:
    """The call that an HTTP request is; LookupError for one that is none."""
    match = _SIGNED_FOR.search(environ.get("HTTP_AUTHORIZATION", ""))
    if not match:
        raise LookupError(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}: not signed, no call of AWS")
    service = _SERVICES.get(match[1], match[1])
    if service == "s3":
        return _s3(environ)
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return Call(service, target.rpartition(".")[2], _kept(json.loads(body or b"{}")))
    if "/operation/" in environ["PATH_INFO"]:
        namespace = _CBOR_NAMESPACE.search(body)
        length = namespace[1][0] - 0x60 if namespace else 0
        found = {"Namespace": body[namespace.end() :][:length].decode()} if namespace else {}
        return Call(service, environ["PATH_INFO"].rpartition("/")[2], found)
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    return Call(service, form["Action"], _kept(form))


def _s3(environ: Environ) -> Call:
    """S3 says by method and path what it is asked; addresses here have the bucket in their path."""
    bucket, _, key = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    method = environ["REQUEST_METHOD"]
    if key:
        multipart = {
            ("POST", True, False): "CreateMultipartUpload",
            ("PUT", False, True): "UploadPart",
            ("POST", False, True): "CompleteMultipartUpload",
        }
        plain = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
        operation = multipart.get((method, "uploads" in query, "uploadId" in query)) or plain[method]
        return Call("s3", operation, {"Bucket": bucket, "Key": key})
    if method == "GET":
        on = {"Bucket": bucket, **({"Prefix": query["prefix"][0]} if "prefix" in query else {})}
        return Call("s3", "ListObjectsV2" if "list-type" in query else "ListObjects", on)
    return Call("s3", {"HEAD": "HeadBucket", "PUT": "CreateBucket"}[method], {"Bucket": bucket})


def _kept(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in KEPT if name in parameters}


def _yes(call: Call, environ: Environ) -> tuple[str, bytes]:
    """An answer without content in the protocol of the request."""
    if "/operation/" in environ["PATH_INFO"]:
        return "application/cbor", b"\xbf\xff"
    if "HTTP_X_AMZ_TARGET" in environ:
        return "application/x-amz-json-1.1", b"{}"
    name = call.operation
    xml = f"<{name}Response><{name}Result/><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata>"
    return "text/xml", f"{xml}</{name}Response>".encode()


def _body(environ: Environ) -> bytes:
    """The body of a request, left there to be read again."""
    if environ.get("HTTP_TRANSFER_ENCODING") == "chunked":
        body: bytes = environ["wsgi.input"].read()
    else:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body
