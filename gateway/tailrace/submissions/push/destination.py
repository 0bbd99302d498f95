"""Where results are pushed, ready for use: target read, secrets read."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.submissions.callback_record import CallbackRecord
from tailrace.submissions.push.target import Target, parse_target
from tailrace.v1.prediction_service_pb2 import InlineCallback
from tailrace.webhooks.signing import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A callback as the senders need it.

    Attributes:
        signers: newest first, each with when it is retired in ms since 1970, or None.
        attempt_timeout_ms, max_in_flight: 0 means the courier's setting.
        max_batch: most deliveries of one message; 1 for webhooks.
    """

    target: Target
    signers: tuple[tuple[Signer, int | None], ...] = field(repr=False)
    attempt_timeout_ms: int = 0
    max_in_flight: int = 0
    max_batch: int = 1

    def live_signers(self, now_ms: int) -> list[Signer]:
        """Returns what is to sign at some time, in ms since 1970."""
        return [
            signer
            for signer, retired_ms in self.signers
            if retired_ms is None or now_ms < retired_ms
        ]


def registered_destination(record: CallbackRecord, *, allow_plaintext: bool) -> Destination:
    """Returns a registered callback as a destination.

    Raises:
        TailraceError: its target may not be used, as the settings are now.
        MalformedKey: one of its secrets cannot be used.
    """
    target = parse_target(record.target, allow_plaintext=allow_plaintext)
    return Destination(
        target=target,
        signers=tuple((Signer(secret.text), secret.retired_ms) for secret in record.secrets),
        attempt_timeout_ms=record.attempt_timeout_ms,
        max_in_flight=record.max_in_flight,
        max_batch=max(1, record.max_batch) if target.is_grpc else 1,
    )


def inline_destination(inline: bytes, *, allow_plaintext: bool) -> Destination:
    """Returns the callback of one submission as a destination.

    Args:
        inline: serialised `InlineCallback`.
        allow_plaintext: whether it may be called without TLS.

    Raises:
        TailraceError: its target may not be used.
        MalformedKey: its secret cannot be used.
        google.protobuf.message.DecodeError: it cannot be read.
    """
    callback = InlineCallback.FromString(inline)
    return Destination(
        target=parse_target(callback.target, allow_plaintext=allow_plaintext),
        signers=((Signer(callback.secret), None),),
    )
