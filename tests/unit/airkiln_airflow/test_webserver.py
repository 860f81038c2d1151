"""The process of the web server, without Airflow and uvicorn; that it serves is tested on machines."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from airkiln.parameters import own
from airkiln_airflow.fenced import RefusedError

SOURCES = Path(__file__).parents[3] / "src"

OPTIONS = {
    "host": "::",
    "port": "8080",
    "workers": "1",
    "base_url": "",
    "enable_swagger_ui": "False",
    "ssl_cert": "",
    "ssl_key": "",
}


class Configuration:
    """airflow.configuration.conf, as far as it is asked."""

    def __init__(self) -> None:
        self.options = dict(OPTIONS)

    def get(self, _section: str, key: str, fallback: Any = None) -> Any:  # noqa: ANN401
        return self.options.get(key, fallback)

    def getint(self, section: str, key: str) -> int:
        return int(self.get(section, key))

    def getboolean(self, section: str, key: str) -> bool:
        return bool(self.get(section, key) == "True")


@pytest.fixture
def configuration() -> Configuration:
    return Configuration()


@pytest.fixture
def webserver(monkeypatch: pytest.MonkeyPatch, configuration: Configuration) -> Iterator[Any]:
    """The module, on modules that stand in for Airflow's and uvicorn's."""

    def module(name: str, **contents: object) -> None:
        made = ModuleType(name)
        made.__dict__.update(contents)
        monkeypatch.setitem(sys.modules, name, made)

    module("airflow")
    module("airflow.configuration", conf=configuration)
    module("uvicorn", Server=object, Config=lambda app, **given: SimpleNamespace(app=app, **given))
    module("uvicorn.supervisors", Multiprocess=object)
    monkeypatch.delitem(sys.modules, "airkiln_airflow.webserver", raising=False)
    yield importlib.import_module("airkiln_airflow.webserver")
    sys.modules.pop("airkiln_airflow.webserver", None)


def test_by_default_nobody_is_believed_and_the_second_port_is_8081(webserver: Any) -> None:  # noqa: ANN401
    found = webserver.settings({})
    assert (found.proxies.networks, found.public_port, found.prefix, found.documented) == (
        (),
        8081,
        "",
        False,
    )


@pytest.mark.parametrize(
    ("base_url", "prefix"),
    [
        ("https://airflow.example.com", ""),
        ("https://example.com/airflow/", "/airflow"),
        ("/af", "/af"),
        ("/", ""),
    ],
)
def test_the_prefix_is_that_of_the_base_url(
    webserver: Any,  # noqa: ANN401
    configuration: Configuration,
    base_url: str,
    prefix: str,
) -> None:
    configuration.options["base_url"] = base_url
    assert webserver.settings({}).prefix == prefix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AIRKILN_WEB_TRUSTED_PROXIES", "*"),
        ("AIRKILN_WEB_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("AIRKILN_WEB_PUBLIC_PORT", "65536"),
        ("AIRKILN_WEB_PUBLIC_PORT", "-1"),
        ("AIRKILN_WEB_PUBLIC_PORT", "http"),
        ("AIRKILN_WEB_PUBLIC_PORT", "8080"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_its_name(webserver: Any, name: str, value: str) -> None:  # noqa: ANN401
    with pytest.raises(RefusedError, match=name):
        webserver.settings({name: value})


PORTS = [
    "",
    " ",
    "0",
    "1",
    "8082",
    " 9443 ",
    "65535",
    "65536",
    "-1",
    "8.0",
    "1_6",
    "http",
    "\uff18\uff10\uff18\uff12",
    "+1",
    "8080",
]


@pytest.mark.parametrize("text", PORTS)
def test_the_boot_refuses_the_ports_that_this_process_refuses(webserver: Any, text: str) -> None:  # noqa: ANN401
    given = {"AIRKILN_WEB_PUBLIC_PORT": text}
    refused = bool(own.reason("AIRKILN_WEB_PUBLIC_PORT", text) or own.conflicts(given))
    try:
        found = webserver.settings(given).public_port
    except RefusedError:
        assert refused
    else:
        assert not refused
        assert found == own.port(text or str(own.DEFAULT_PUBLIC_PORT))


def test_uvicorn_reads_no_headers_of_proxies_itself(webserver: Any) -> None:  # noqa: ANN401
    """It would replace the address of the peer, by which the door knows the load balancer."""
    found = webserver.configured()
    assert (found.app, found.factory, found.proxy_headers) == (
        "airkiln_airflow.webserver:application",
        True,
        False,
    )
    assert (found.ssl_certfile, found.ssl_keyfile) == (None, None)


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "127.0.0.1", "localhost"])
def test_a_client_of_ipv4_reaches_both_ports_at_every_address(webserver: Any, host: str) -> None:  # noqa: ANN401
    bound = webserver.listen(host, [0, 0])
    try:
        for each in bound:
            each.listen()
            with socket.create_connection(("127.0.0.1", each.getsockname()[1]), timeout=5):
                pass
    finally:
        for each in bound:
            each.close()


def test_a_port_that_is_taken_is_an_error(webserver: Any) -> None:  # noqa: ANN401
    (taken,) = webserver.listen("127.0.0.1", [0])
    taken.listen()
    with taken, pytest.raises(OSError, match="in use"):
        webserver.listen("127.0.0.1", [taken.getsockname()[1]])


def test_no_other_process_reads_it_from_before_its_first_setting_on(tmp_path: Path) -> None:
    """Its further processes import the same file as `__mp_main__`."""
    probe = "import ctypes\nprint(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\nraise SystemExit\n"
    (tmp_path / "uvicorn.py").write_text(probe)
    module = "airkiln_airflow.webserver"
    for name in ("__main__", "__mp_main__"):
        script = f"import runpy; runpy.run_module({module!r}, run_name={name!r})"
        ran = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": f"{tmp_path}:{SOURCES}", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout == "0\n"
