"""Channels to gRPC receivers: to checked addresses only, and kept while they are of use."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tailrace.runtime.unary_method import UnaryMethod
from tailrace.submissions.push.address_rules import AddressRules
from tailrace.submissions.push.bounded_answer import bounded
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.name_lookup import NameLookup
from tailrace.submissions.push.target import IpAddress, Target
from tailrace.v1.callback_receiver_pb2 import (
    DESCRIPTOR,
    DeliverPredictionRequest,
    DeliverPredictionResponse,
    DeliverPredictionsRequest,
    DeliverPredictionsResponse,
)

IDLE_CLOSE_S = 60.0
# An answer is a status for each delivery of the message, and says little.
MAX_ANSWER_BYTES = 64 * 1024
MAX_STATUS_BYTES = 1024
MAX_METADATA_BYTES = 16 * 1024


@dataclass(slots=True, eq=False)
class LentChannel:
    """A channel in use.

    Attributes:
        key: what it is kept under.
        deliver_one, deliver_many: call the receiver; None in place of an answer that cannot be
            read.
        calls: how many have it now.
        idle_since_s: when the last of them ended, on the monotonic clock.
        broken: whether it is to be used no more.
    """

    key: tuple[str, int]
    channel: grpc.aio.Channel
    deliver_one: Any
    deliver_many: Any
    calls: int = 0
    idle_since_s: float = 0.0
    broken: bool = False


class GrpcChannels:
    """A channel per target. One that fails is given up, so that the name is looked up anew."""

    def __init__(
        self,
        rules: AddressRules,
        names: NameLookup,
        *,
        ca_file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes what may be connected to, and how names are looked up.

        Args:
            rules: which addresses may be connected to.
            names: looks names up.
            ca_file: PEM certificates that receivers' are signed by; None for gRPC's own.
            clock: monotonic, in seconds.

        Raises:
            OSError: the file of certificates cannot be read.
        """
        self._rules = rules
        self._names = names
        self._ca = None if ca_file is None else ca_file.read_bytes()
        self._clock = clock
        self._kept: dict[tuple[str, int], LentChannel] = {}

    async def close(self) -> None:
        """Closes all channels."""
        kept, self._kept = list(self._kept.values()), {}
        for each in kept:
            await each.channel.close()

    async def close_idle(self) -> None:
        """Closes channels that have not been used for a while."""
        since_s = self._clock() - IDLE_CLOSE_S
        idle = [key for key, kept in self._kept.items() if not kept.calls]
        for key in idle:
            if self._kept[key].idle_since_s < since_s:
                await self._kept.pop(key).channel.close()

    async def lend(self, destination: Destination) -> LentChannel:
        """Returns the channel to a receiver, opened if need be; it is to be given back.

        Raises:
            LookupFailed: the name has no address.
            RefusedAddress: it may not be connected to.
        """
        key = (destination.target.url, destination.max_batch)
        kept = self._kept.get(key)
        if kept is None:
            addresses = await self._checked(destination.target)
            # Another call may have opened it meanwhile.
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = self._open(key, destination.target, addresses)
        kept.calls += 1
        return kept

    async def give_back(self, lent: LentChannel, *, broken: bool) -> None:
        """Ends the use of a channel; one that is broken is closed once nobody uses it."""
        lent.calls -= 1
        lent.idle_since_s = self._clock()
        lent.broken = lent.broken or broken
        if lent.broken and self._kept.get(lent.key) is lent:
            del self._kept[lent.key]
        if lent.broken and not lent.calls:
            await lent.channel.close()

    async def _checked(self, target: Target) -> list[IpAddress]:
        if target.address is not None:
            self._rules.check(target.address)
            return [target.address]
        return await self._names.addresses(target.host)

    def _open(
        self, key: tuple[str, int], target: Target, addresses: list[IpAddress]
    ) -> LentChannel:
        max_answer_bytes = MAX_ANSWER_BYTES + MAX_STATUS_BYTES * key[1]
        options: list[tuple[str, object]] = [
            ("grpc.default_authority", target.authority),
            ("grpc.max_receive_message_length", max_answer_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
            # Not by gRPC; see `bounded_answer.py`.
            ("grpc.per_message_decompression", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            # Channels to one address do not share a connection, nor each other's trouble.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ]
        place = _place(addresses, target.port)
        if not target.is_tls:
            channel = grpc.aio.insecure_channel(place, options=options)
        else:
            if target.address is None:
                # The certificate has to be the name's, though an address is connected to.
                options.append(("grpc.ssl_target_name_override", target.host))
            channel = grpc.aio.secure_channel(place, _credentials(self._ca), options=options)
        return LentChannel(
            key,
            channel,
            UnaryMethod(
                channel.unary_unary(
                    _method("DeliverPrediction"),
                    DeliverPredictionRequest.SerializeToString,
                    bounded(DeliverPredictionResponse.FromString, max_answer_bytes),
                )
            ),
            UnaryMethod(
                channel.unary_unary(
                    _method("DeliverPredictions"),
                    DeliverPredictionsRequest.SerializeToString,
                    bounded(DeliverPredictionsResponse.FromString, max_answer_bytes),
                )
            ),
        )


def _method(name: str) -> str:
    return f"/{DESCRIPTOR.services_by_name['CallbackReceiver'].full_name}/{name}"


def _place(addresses: list[IpAddress], port: int) -> str:
    """Returns a gRPC target of addresses: those of the best one's family, as it takes one only."""
    version = addresses[0].version
    of_family = [address for address in addresses if address.version == version]
    if version == 4:
        return "ipv4:" + ",".join(f"{address}:{port}" for address in of_family)
    return "ipv6:" + ",".join(f"[{address}]:{port}" for address in of_family)


@functools.lru_cache(maxsize=4)
def _credentials(ca: bytes | None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(ca)
