"""Certificates made up on the spot."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certified(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """What a server needs for TLS under a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def expired(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """The same, with a certificate that was good until yesterday."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    before = yesterday - timedelta(days=1)
    authority.issue_cert(name, not_before=before, not_after=yesterday).configure_cert(context)
    return context


def self_signed(folder: Path, name: str = "127.0.0.1") -> ssl.SSLContext:
    """The same, with a certificate that nobody but its owner vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    owner = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))])
    certificate = (
        x509.CertificateBuilder(owner, owner, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "self-signed.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def write_certificate(folder: Path) -> dict[str, str]:
    """Write a certificate of a private authority; return the settings that name the files."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(str(files["ca"]))
    certificate.cert_chain_pems[0].write_to_path(str(files["cert"]))
    certificate.private_key_pem.write_to_path(str(files["key"]))
    return {
        "GRPC_TLS_CERT_FILE": str(files["cert"]),
        "GRPC_TLS_KEY_FILE": str(files["key"]),
        "GRPC_SERVER_CA_FILE": str(files["ca"]),
    }


def encrypt(key: Path) -> None:
    """Put a key under a passphrase."""
    pem = serialization.Encoding.PEM
    secret = serialization.BestAvailableEncryption(b"passphrase")
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(plain.private_bytes(pem, serialization.PrivateFormat.PKCS8, secret))
