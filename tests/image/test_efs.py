"""The TLS tunnel to EFS, against a server on the machine itself that holds the file system's name.

The kernel's NFS client and the automount need a kernel of their own: they are not tested here, only how
systemd reads their units (test_system.py, test_units.py).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest
from testinfra.host import Host

pytestmark = [pytest.mark.state("baked"), pytest.mark.usefixtures("disposable")]
NAME = "fs-0123456789abcdef0.efs.eu-west-1.amazonaws.com"
TUNNEL = "airkiln-efs-tunnel.service"
PREPARE = f"""
set -eu
mkdir -p /run/airkiln /run/efs-test && cd /run/efs-test
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=authority -keyout ca.key -out ca.crt
cp ca.crt /usr/local/share/ca-certificates/efs-test.crt && update-ca-certificates
echo '127.0.0.1 {NAME} other.example' >> /etc/hosts
for name in {NAME} other.example; do
  openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout $name.key -out $name.csr
  printf 'subjectAltName=DNS:%s' "$name" > $name.ext
  openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -days 1 -extfile $name.ext -out $name.crt
done
echo '{{"region": "eu-west-1"}}' > /run/airkiln/instance.json
"""
SERVER = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + ".crt", sys.argv[1] + ".key")
listener = socket.create_server(("127.0.0.1", 2049))
while True:
    plain, _ = listener.accept()
    try:
        with context.wrap_socket(plain, server_side=True) as peer:
            peer.sendall(peer.recv(100).upper())
    except OSError:
        pass
"""
CLIENT = """
import socket, time
# The unit counts as started when stunnel runs, a moment before it listens; the port of one that stops resets.
for attempt in range(100):
    try:
        peer = socket.create_connection(("127.0.0.1", 20490), 10)
        break
    except ConnectionError:
        time.sleep(0.1)
try:
    peer.sendall(b"hello")
    print(peer.recv(100).decode())
except OSError:
    print()
"""


@pytest.fixture(scope="module")
def names(host: Host) -> Iterator[None]:
    """An authority that the machine trusts, two certificates of it, and the region; taken away again."""
    prepared = host.run("/bin/sh -c %s", PREPARE)
    assert prepared.rc == 0, prepared.stderr
    yield
    forget = "rm -rf /run/efs-test /run/airkiln /usr/local/share/ca-certificates/efs-test.crt"
    host.run(
        f"systemctl stop {TUNNEL}; {forget}; sed -i '/{NAME}/d' /etc/hosts; update-ca-certificates --fresh"
    )


@pytest.fixture
def server(host: Host, names: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """A TLS server on the port of EFS that holds the certificate of the name it is given."""
    options = "--unit=efs-test-server --property=WorkingDirectory=/run/efs-test --property=Type=exec"
    program = f"/usr/bin/python3 -c %s {request.param}"
    started = host.run(f"systemd-run {options} {program}", textwrap.dedent(SERVER))
    assert started.rc == 0, started.stderr
    until = "for i in $(seq 50); do ss -Hltn sport = :2049 | grep -q . && exit 0; sleep 0.1; done; exit 1"
    assert host.run(until).rc == 0
    yield
    host.run("systemctl stop efs-test-server.service; systemctl reset-failed efs-test-server.service")


def start(host: Host, parameters: str) -> int:
    """Start the tunnel with these parameters; systemctl's status."""
    host.check_output("printf '%%s\\n' %s > /run/airkiln/airflow.env", parameters)
    host.run(f"systemctl stop {TUNNEL}")
    return int(host.run(f"systemctl start {TUNNEL}").rc)


def answer(host: Host) -> str:
    """What comes back through the tunnel for `hello`; empty when the tunnel closes the connection."""
    return str(host.check_output("/usr/bin/python3 -c %s", CLIENT)).strip()


def is_active(host: Host) -> bool:
    return bool(host.run(f"systemctl is-active {TUNNEL}").rc == 0)


@pytest.mark.parametrize("server", [NAME], indirect=True)
def test_the_tunnel_leads_to_the_file_system_of_the_parameters(host: Host, server: None) -> None:
    assert start(host, 'AIRKILN_EFS_ID="fs-0123456789abcdef0"') == 0
    assert answer(host) == "HELLO"


@pytest.mark.parametrize("server", ["other.example"], indirect=True)
def test_the_tunnel_refuses_a_server_with_another_name(host: Host, server: None) -> None:
    assert start(host, "AIRKILN_EFS_ID=fs-0123456789abcdef0") == 0
    assert answer(host) == ""


@pytest.mark.parametrize("server", ["other.example"], indirect=True)
def test_a_parameter_may_name_the_host_itself(host: Host, server: None) -> None:
    assert start(host, "AIRKILN_EFS_HOST=other.example") == 0
    assert answer(host) == "HELLO"


def test_without_a_file_system_the_tunnel_is_skipped(host: Host, names: None) -> None:
    assert start(host, "AIRFLOW__CORE__PARALLELISM=32") == 0
    assert not is_active(host)


def test_a_wrong_file_system_id_fails_by_name(host: Host, names: None) -> None:
    assert start(host, "AIRKILN_EFS_ID=files") != 0
    assert "AIRKILN_EFS_ID is 'files'" in host.check_output(
        f"journalctl --no-pager --lines=20 --unit={TUNNEL}"
    )
    host.run(f"systemctl reset-failed {TUNNEL}")


@pytest.mark.parametrize("server", [NAME], indirect=True)
def test_the_tunnel_sees_no_other_parameter(host: Host, server: None) -> None:
    assert start(host, "AIRKILN_EFS_ID=fs-0123456789abcdef0\nAIRFLOW__CORE__FERNET_KEY=secret") == 0
    pid = host.check_output(f"systemctl show --property=MainPID --value {TUNNEL}")
    assert "FERNET" not in host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/environ")
