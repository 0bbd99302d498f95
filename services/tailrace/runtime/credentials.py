"""Credentials for listening and for calling, from settings."""

from __future__ import annotations

import grpc
import grpc.aio

from tailrace.runtime.config import ServerSettings, TransportSettings


def bind(server: grpc.aio.Server, settings: ServerSettings, port: int) -> int:
    """Binds the server to a port of its address and returns the port, which is real even for 0.

    Raises:
        RuntimeError: the address cannot be bound.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{port}"
    if not settings.uses_tls:
        return server.add_insecure_port(address)
    ca, key, certificate = _read(settings)
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=ca, require_client_auth=True
    )
    return server.add_secure_port(address, credentials)


def open_channel(
    target: str, settings: TransportSettings, options: list[tuple[str, object]]
) -> grpc.aio.Channel:
    """Returns a channel to `target`, with mTLS where the settings say so."""
    if not settings.uses_tls:
        return grpc.aio.insecure_channel(target, options=options)
    ca, key, certificate = _read(settings)
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    if settings.tls_server_name is not None:
        options = [*options, ("grpc.ssl_target_name_override", settings.tls_server_name)]
    return grpc.aio.secure_channel(target, credentials, options=options)


def _read(settings: TransportSettings) -> tuple[bytes, bytes, bytes]:
    files = (settings.tls_ca_file, settings.tls_key_file, settings.tls_certificate_file)
    if any(file is None for file in files):
        raise ValueError("TLS settings are not complete")
    ca, key, certificate = (file.read_bytes() for file in files if file is not None)
    return ca, key, certificate
