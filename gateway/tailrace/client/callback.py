"""Callbacks, attempts at delivering and dead letters as the caller gets them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

from tailrace.client.submission import Delivery, StoredPrediction, instant
from tailrace.v1 import callback_service_pb2 as messages


class SignatureScheme(enum.Enum):
    """How deliveries are signed; the numbers of `tailrace.v1.SignatureScheme`."""

    UNSPECIFIED = 0
    """Not told, or a scheme that this version of the client does not know."""
    HMAC_SHA256 = 1
    """A shared secret, `whsec_…`."""
    ED25519 = 2
    """A key pair; the receiver needs the public key only, `whpk_…`."""


_SCHEMES = {scheme.value: scheme for scheme in SignatureScheme}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSpec:
    """What can be set of a callback.

    Attributes:
        target: where to push to: `https://…`, `grpcs://HOST:PORT` or `grpc://HOST:PORT`.
        scheme: how to sign; cannot change.
        attempt_timeout_s: longest that one attempt may take, in seconds; None means the courier's
            setting.
        max_in_flight: most messages in flight; 0 means the courier's setting.
        max_batch: most deliveries of one message, gRPC only; 0 means 1.
        ordered: whether results with the same ordering key are pushed in the order of their
            submission.
    """

    target: str
    scheme: SignatureScheme = SignatureScheme.HMAC_SHA256
    attempt_timeout_s: float | None = None
    max_in_flight: int = 0
    max_batch: int = 0
    ordered: bool = False

    @classmethod
    def of_message(cls, message: messages.CallbackSpec) -> CallbackSpec:
        """Returns what a server sent."""
        timeout = message.attempt_timeout
        has_timeout = message.HasField("attempt_timeout")
        return cls(
            target=message.target,
            scheme=_SCHEMES.get(message.signature_scheme, SignatureScheme.UNSPECIFIED),
            attempt_timeout_s=timeout.ToNanoseconds() / 1e9 if has_timeout else None,
            max_in_flight=message.max_in_flight,
            max_batch=message.max_batch,
            ordered=message.ordered,
        )


@dataclass(frozen=True, slots=True)
class Callback:
    """A registered callback, without its secrets.

    Attributes:
        name: its name.
        tenant: whose it is; may be empty.
        spec: what was set of it.
        enabled: whether results are pushed to it.
        disabled_reason: why not, such as `ADMINISTRATOR` or `GONE`; empty if it is enabled.
        public_key: to verify with, `whpk_…`; empty unless it is signed with ed25519.
        secret_count: how many secrets sign: one, and those being retired; at most 4.
        retires_at: when the next of the older secrets is retired, or None.
        created_at: when it was registered.
        updated_at: when it was last changed.
    """

    name: str
    tenant: str
    spec: CallbackSpec
    enabled: bool
    disabled_reason: str
    public_key: str
    secret_count: int
    retires_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def of_message(cls, message: messages.Callback) -> Callback:
        """Returns what a server sent."""
        return cls(
            name=message.name,
            tenant=message.tenant,
            spec=CallbackSpec.of_message(message.spec),
            enabled=message.enabled,
            disabled_reason=message.disabled_reason,
            public_key=message.public_key,
            secret_count=message.secret_count,
            retires_at=instant(message, "retire_time"),
            created_at=instant(message, "create_time"),
            updated_at=instant(message, "update_time"),
        )


@dataclass(frozen=True, slots=True)
class RegisteredCallback:
    """A callback that was registered, or got a new secret.

    Attributes:
        callback: the callback.
        secret: the secret that was made, told this once; empty if one was given, or if only the
            public key is needed. It is kept out of `repr`.
    """

    callback: Callback
    secret: str = field(repr=False)

    @property
    def key(self) -> str:
        """What the receiver verifies with, as far as it is told: the secret or the public key."""
        return self.callback.public_key or self.secret


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt at delivering.

    Attributes:
        attempt: which one, from 1.
        started_at: when it began, by the queue's clock.
        duration_ms: how long it took, in milliseconds.
        delivered: whether the receiver confirmed it.
        result: what came back, such as `HTTP 503`, `gRPC UNAVAILABLE` or `TIMEOUT`.
    """

    attempt: int
    started_at: datetime | None
    duration_ms: float
    delivered: bool
    result: str

    @classmethod
    def of_message(cls, message: messages.DeliveryAttempt) -> DeliveryAttempt:
        """Returns what a server sent."""
        return cls(
            attempt=message.attempt,
            started_at=instant(message, "start_time"),
            duration_ms=message.duration.ToNanoseconds() / 1e6,
            delivered=message.delivered,
            result=message.result,
        )


@dataclass(frozen=True, slots=True)
class DeliveryHistory:
    """The attempts at delivering one prediction.

    Attributes:
        delivery: how it stands.
        attempts: the latest ones, oldest first.
    """

    delivery: Delivery
    attempts: tuple[DeliveryAttempt, ...]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A result that could not be delivered, or a submission that could not be run.

    Attributes:
        prediction: the submission, without its outcome.
        reason: why, such as `ATTEMPTS_EXHAUSTED`, `CALLBACK_DISABLED`, `CALLBACK_DELETED`, or
            `POISON` for one that could not be run.
        died_at: when it was given up, or None.
    """

    prediction: StoredPrediction
    reason: str
    died_at: datetime | None

    @classmethod
    def of_message(cls, message: messages.DeadLetter) -> DeadLetter:
        """Returns what a server sent."""
        prediction = StoredPrediction.of_message(message.prediction)
        return cls(prediction, message.reason, instant(message, "dead_time"))
