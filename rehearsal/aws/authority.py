"""The certificate authority that vouches for the databases and load balancers of this machine's rehearsals.

An image holds its certificate, as one on AWS holds those of RDS and a team's own, and outlives a server,
which gets a new key each time. So the authority lasts as long as this machine runs: its key lies in memory,
readable by root, and on no disk. After a restart of the machine there is another one, and images are baked
again. Its certificates have the extensions that RFC 5280 requires, since Python from 3.13 on insists on them.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rehearsal.errors import RehearsalError

FOLDER = Path("/dev/shm/airkiln-rehearsal-certificates")  # noqa: S108 - whose it is, is checked
DAYS = 3650
"""How long certificates are valid."""
LONGEST_COMMON_NAME = 64
"""Characters (ub-common-name, RFC 5280)."""
CERTIFICATE = "rehearsal-authority.pem"
Server = ipaddress.IPv4Address | str
"""The address of a server, or its host name."""

_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def certificate() -> str:
    """The authority's certificate, as PEM; makes the authority if there is none."""
    return path().read_text(encoding="ascii")


def path() -> Path:
    """The file with the authority's certificate, as PEM; makes the authority if there is none."""
    if not (FOLDER / CERTIFICATE).exists():
        _make()
    if FOLDER.stat().st_uid != os.geteuid():
        raise RehearsalError(f"{FOLDER} belongs to another user; remove it, and the next run makes its own.")
    return FOLDER / CERTIFICATE


def key_and_certificate(*servers: Server) -> tuple[str, str]:
    """A new key, and the certificate for a server of these names and addresses, both as PEM.

    The caller keeps the key in memory.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(_named(_common_name(servers[0])))
    asked = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return _private(key).decode("ascii"), issue(asked.decode("ascii"), *servers)


def issue(request: str, *servers: Server) -> str:
    """A certificate for a server at these addresses or of these host names, as PEM.

    :param request: the server's request, as PEM: the key that it is for.
    """
    authority = x509.load_pem_x509_certificate(certificate().encode())
    loaded = serialization.load_pem_private_key((FOLDER / "key.pem").read_bytes(), password=None)
    key = cast(ec.EllipticCurvePrivateKey, loaded)
    asked = x509.load_pem_x509_csr(request.encode())
    names = [x509.DNSName(each) if isinstance(each, str) else x509.IPAddress(each) for each in servers]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    found = (
        _builder(_named(_common_name(servers[0])), authority.subject)
        .public_key(asked.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(asked.public_key()), critical=False)
        .add_extension(issuer, critical=False)
    )
    return _pem(found.sign(key, hashes.SHA256()))


def _make() -> None:
    """Make the authority in a folder beside it, whole, unless another process was first."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("Authority of the rehearsal")
    made = (
        _builder(name, name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    draft = FOLDER.with_name(f".{FOLDER.name}.{secrets.token_hex(6)}")
    draft.mkdir(mode=0o700)
    descriptor = os.open(draft / "key.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_private(key))
    (draft / CERTIFICATE).write_text(_pem(made.sign(key, hashes.SHA256())), encoding="ascii")
    try:
        draft.rename(FOLDER)
    except OSError:  # another process was first: a folder that holds something is not replaced
        for path in draft.iterdir():
            path.unlink()
        draft.rmdir()


def _builder(subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
    )


def _common_name(server: Server) -> str:
    return str(server)[:LONGEST_COMMON_NAME]


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(found: x509.Certificate) -> str:
    return found.public_bytes(serialization.Encoding.PEM).decode("ascii")
