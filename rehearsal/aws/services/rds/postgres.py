"""A database server of RDS: PostgreSQL 17 of Debian 13 in a machine of its own, at 10.42.0.10.

It requires TLS and SCRAM passwords, and its administrator is not a superuser, as on RDS. An authority vouches
for it (`authority`); the server's key never leaves its machine, nor is it in a snapshot of it. Left out:
Multi-AZ and its failover, point-in-time recovery, IAM authentication.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

from rehearsal.aws import authority
from rehearsal.errors import RehearsalError
from rehearsal.linux.addresses import POSTGRES
from rehearsal.linux.machine import Machine, Specification
from rehearsal.linux.network import wait_for_port
from rehearsal.linux.processes import run
from rehearsal.linux.rootfs import build_layer
from rehearsal.region import Region

NAME = "postgres"
PORT = 5432
RDS_SUPERUSER = (
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_maintain",
    "pg_monitor",
    "pg_read_all_data",
    "pg_signal_backend",
    "pg_use_reserved_connections",
    "pg_write_all_data",
)
"""PostgreSQL's own roles that RDS grants rds_superuser WITH ADMIN OPTION, and none else: a dump of the roles
of a PostgreSQL 17 on RDS (pg_dumpall --roles-only) shows them, beside rds_password and rds_replication."""

DATA = "var/lib/postgresql/17/main"
"""Folder of the data below the root of the disk."""
KEY = "/etc/ssl/private/ssl-cert-snakeoil.key"
CERTIFICATE = "/etc/ssl/certs/ssl-cert-snakeoil.pem"
"""Where Debian's PostgreSQL finds the server's key and certificate."""

SCRIPT = r"""
apt-get -qq update
apt-get -qq install --no-install-recommends -y postgresql-17 ssl-cert
apt-get clean
rm -rf /var/lib/apt/lists/*
cat > /etc/postgresql/17/main/conf.d/rehearsal.conf <<'END'
listen_addresses = '*'
max_connections = 200
reserved_connections = 2
password_encryption = 'scram-sha-256'
END
cat > /etc/postgresql/17/main/pg_hba.conf <<'END'
local   all postgres           peer
hostssl all all      0.0.0.0/0 scram-sha-256
END
# The key of the certificate is made at the first start, so that it is in no cache.
rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
mkdir -p /etc/systemd/system/postgresql@.service.d
cat > /etc/systemd/system/postgresql@.service.d/certificate.conf <<'END'
[Service]
ExecStartPre=+/bin/sh -c 'test -e KEY || make-ssl-cert generate-default-snakeoil'
END
# This machine is not an EC2 instance: it has no metadata service, and nobody logs in.
touch /etc/cloud/cloud-init.disabled
systemctl --quiet disable ssh.service
systemctl --quiet mask ssh.socket ssh.service
""".replace("KEY", KEY)


class Postgres:
    """The database server of a rehearsal."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.machine = Machine(region, NAME)

    def build(self) -> None:
        """Build the server's root filesystem unless it exists; needs the network and half a minute."""
        build_layer(self.region, NAME, SCRIPT)

    def start(self, host: str | None = None, disk: Path | None = None) -> None:
        """Start the server unless it runs, and wait until it accepts connections.

        :param host: the name that the certificate is for; by default it is for the address.
        :param disk: a snapshot to start with; by default the server has no data.
        """
        if not self.machine.running():
            self.machine.remove()
            layers = [str(layer) for layer in build_layer(self.region, NAME, SCRIPT)]
            Machine.create(self.region, Specification(NAME, str(POSTGRES), NAME, layers))
            if disk is not None:
                run(["cp", "-a", f"{disk}/.", self.machine.upper], timeout=600)
            self.machine.start()
            self.machine.wait_until_booted(60)
            self._wait()
            self._certify(host or POSTGRES)
        self.machine.wait_until_booted(60)
        self._wait()

    def exists(self) -> bool:
        """Whether the server's machine exists, running or not."""
        return self.machine.folder.exists()

    def remove(self) -> None:
        """Remove the server with its data."""
        self.machine.remove()

    def snapshot(self, disk: Path) -> None:
        """Copy the server's disk as a crash at one moment would leave it; the server waits meanwhile.

        The server's key and certificate are not in the copy, nor the file that says that it runs.

        :param disk: folder that is made.
        """
        if self.machine.running():
            with self.machine.frozen():
                self.machine.snapshot(disk)
        else:
            run(["cp", "-a", self.machine.upper, disk], timeout=600)
        for path in (KEY, CERTIFICATE, f"/{DATA}/postmaster.pid"):
            (disk / path.removeprefix("/")).unlink(missing_ok=True)

    def stop(self) -> None:
        """Power the server off; its data stays until ``down``."""
        self.machine.stop()

    def sql(self, statements: str, database: str = "postgres") -> str:
        """Run SQL as the superuser, from inside; returns what psql prints, unaligned and without headers."""
        command = ["runuser", "-u", "postgres", "--", "psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1"]
        return self.machine.execute([*command, "-d", database], text=statements).stdout.strip()

    def create_administrator(self, name: str, password: str) -> None:
        """Create a role like RDS's master user: CREATEROLE and CREATEDB, and a member of rds_superuser, from
        which it inherits what RDS passes on."""
        self.create_role(name, password)
        self.sql(f"ALTER ROLE {identifier(name)} CREATEROLE CREATEDB;")
        if not self._known("pg_roles", "rolname", "rds_superuser"):
            self.sql("CREATE ROLE rds_superuser NOLOGIN;")
            for role in RDS_SUPERUSER:
                self.sql(f"GRANT {role} TO rds_superuser WITH ADMIN OPTION, INHERIT TRUE;")
        self.sql(f"GRANT rds_superuser TO {identifier(name)} WITH INHERIT TRUE;")

    def create_role(self, name: str, password: str) -> None:
        """Create a role that can log in with this password and has no other right, or set its password."""
        verb = "ALTER" if self._known("pg_roles", "rolname", name) else "CREATE"
        self.sql(f"{verb} ROLE {identifier(name)} LOGIN PASSWORD {literal(password)};")

    def create_database(self, name: str, owner: str) -> None:
        """Create a database that this role owns, unless it exists."""
        if not self._known("pg_database", "datname", name):
            self.sql(f"CREATE DATABASE {identifier(name)} OWNER {identifier(owner)};")

    def configure(self, settings: Mapping[str, str]) -> None:
        """Set these parameters in place of those that were set before, and restart the server."""
        changes = [f"ALTER SYSTEM SET {identifier(name)} = {literal(settings[name])};" for name in settings]
        self.sql("\n".join(["ALTER SYSTEM RESET ALL;", *changes]))
        self.machine.execute(["systemctl", "restart", "postgresql@17-main.service"])
        self._wait()

    def reachable(self, seconds: float = 10) -> bool:
        """Whether the port answers, for a caller inside the region's network."""
        return wait_for_port(POSTGRES, PORT, seconds)

    def _wait(self) -> None:
        until_ready = "until runuser -u postgres -- pg_isready -q; do sleep 0.1; done"
        self.machine.execute(["timeout", "60", "sh", "-c", until_ready])

    def _certify(self, server: IPv4Address | str) -> None:
        """Have the authority sign the server's key, and use its certificate."""
        request = self.machine.execute(
            ["openssl", "req", "-new", "-key", KEY, "-subj", "/CN=postgres"]
        ).stdout
        self.machine.execute(["tee", CERTIFICATE], text=authority.issue(request, server))
        self.machine.execute(["systemctl", "restart", "postgresql@17-main.service"])

    def _known(self, catalogue: str, column: str, name: str) -> bool:
        listed = self.sql(" ".join(["SELECT", column, "FROM", catalogue]))
        return name in listed.splitlines()


def literal(value: str) -> str:
    """A value as an SQL string literal (standard_conforming_strings, PostgreSQL's default)."""
    if "\0" in value:
        raise RehearsalError("PostgreSQL accepts no NUL character in a value.")
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    if "\0" in name or not name:
        raise RehearsalError(f"{name!r} cannot name a role or a database.")
    return '"' + name.replace('"', '""') + '"'
