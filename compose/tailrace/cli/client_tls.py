"""The client's TLS out of a process's settings."""

from __future__ import annotations

from tailrace.client import Tls
from tailrace.runtime.config import TransportSettings


def client_tls(transport: TransportSettings) -> Tls | None:
    """Returns what a client of the mesh needs to call it; None where it speaks plaintext."""
    if not transport.uses_tls:
        return None
    return Tls.from_files(
        ca=transport.tls_ca_file,
        certificate=transport.tls_certificate_file,
        key=transport.tls_key_file,
        server_name=transport.tls_server_name,
    )
