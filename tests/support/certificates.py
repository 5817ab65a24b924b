"""Certificates made up on the spot."""

from __future__ import annotations

from pathlib import Path

import trustme


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
