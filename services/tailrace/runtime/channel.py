"""Channels to other services, alike everywhere."""

from __future__ import annotations

import grpc.aio

from tailrace.runtime.config import TransportSettings
from tailrace.runtime.credentials import open_channel

MAX_RECONNECT_BACKOFF_MS = 1000


def service_channel(
    target: str, settings: TransportSettings, max_message_bytes: int
) -> grpc.aio.Channel:
    """Returns a channel to a service: balanced over its addresses, quick to reconnect.

    Args:
        target: gRPC target, such as `127.0.0.1:50061` or `dns:///ingest:50061`.
        settings: credentials.
        max_message_bytes: largest message either way, in bytes.
    """
    return open_channel(
        target,
        settings,
        [
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.initial_reconnect_backoff_ms", 100),
            # How long one attempt to connect may take, until a busy peer has said hello.
            ("grpc.min_reconnect_backoff_ms", 2_000),
            ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_BACKOFF_MS),
            # A peer that vanished without closing is noticed within ten seconds.
            ("grpc.keepalive_time_ms", 5_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.use_local_subchannel_pool", 1),
            # Retries are the gateway's, within the budget; two layers would multiply.
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
        ],
    )
