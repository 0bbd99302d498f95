"""How a client is connected: credentials and channel options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

DEFAULT_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest message sent or received, as in the server's own settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Credentials for an encrypted connection.

    Attributes:
        ca: PEM certificates that the server's must be signed by; None trusts the usual
            authorities.
        certificate: PEM certificate chain of this client, where the server asks for one.
        key: PEM private key that belongs to it. It is kept out of `repr`.
        server_name: name expected in the server's certificate, where it is not the host name.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if there is a certificate without its key, or a key without one."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")

    def __repr__(self) -> str:
        """Returns what it is, without the key."""
        return f"Tls(server_name={self.server_name!r}, mutual={self.key is not None})"

    @classmethod
    def from_files(
        cls,
        *,
        ca: Path | str | None = None,
        certificate: Path | str | None = None,
        key: Path | str | None = None,
        server_name: str | None = None,
    ) -> Tls:
        """Returns the credentials in these PEM files. Raises OSError if one cannot be read."""
        return cls(
            ca=_read(ca), certificate=_read(certificate), key=_read(key), server_name=server_name
        )


@dataclass(frozen=True, slots=True)
class Transport:
    """Where a client connects to, and how.

    Attributes:
        target: gRPC target, such as `127.0.0.1:50050` or `dns:///gateway:50050`.
        tls: credentials; None means plaintext.
        connections: how many connections to open. One reaches one worker process of the
            gateway only; callers with volume open several.
        max_message_bytes: largest message sent or received.
    """

    target: str
    tls: Tls | None
    connections: int
    max_message_bytes: int

    def __post_init__(self) -> None:
        """Raises ValueError if a client cannot be connected so."""
        if not self.target:
            raise ValueError("a target is needed, such as 127.0.0.1:50050")
        if self.connections < 1:
            raise ValueError(f"connections must be at least 1, not {self.connections}")

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Returns the credentials of a channel; None means plaintext."""
        if self.tls is None:
            return None
        return grpc.ssl_channel_credentials(self.tls.ca, self.tls.key, self.tls.certificate)

    def options(self) -> list[tuple[str, str | int]]:
        """Returns the options of a channel."""
        options: list[tuple[str, str | int]] = [
            # Without it, channels to one target share one connection.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.initial_reconnect_backoff_ms", 100),
            # How long one attempt to connect may take, until a busy server has said hello.
            ("grpc.min_reconnect_backoff_ms", 5_000),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            # A server that vanished without closing is noticed while a call waits for it.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
        ]
        if self.tls is not None and self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options


def _read(file: Path | str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()
