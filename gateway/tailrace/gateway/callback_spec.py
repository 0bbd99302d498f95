"""Callbacks between messages and what is kept: what comes in is checked, secrets never go out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tailrace.gateway.admission import MAX_TENANT, check_text
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.errors import InvalidField
from tailrace.submissions.callback_record import CallbackRecord, Secret
from tailrace.submissions.push.target_rules import TargetRules
from tailrace.submissions.record_message import timestamp
from tailrace.v1.callback_service_pb2 import (
    SIGNATURE_SCHEME_UNSPECIFIED,
    Callback,
    CallbackSpec,
    SignatureScheme,
)
from tailrace.webhooks.errors import MalformedKey
from tailrace.webhooks.keys import Scheme, check_secret, make_secret, public_key_of

MAX_ATTEMPT_TIMEOUT_MS = 5 * 60_000
MAX_IN_FLIGHT = 1024
MAX_BATCH = 1024
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_identity(tenant: str, name: str) -> None:
    """Checks whose a callback is, and its name. Raises InvalidField."""
    check_text(tenant, "tenant", MAX_TENANT)
    if not _NAME.fullmatch(name):
        raise InvalidField(
            "a name has letters, digits, -, _ and ., at most 64 of them", field="name"
        )


def apply_spec(record: CallbackRecord, spec: CallbackSpec, targets: TargetRules) -> CallbackRecord:
    """Returns a callback as a spec wants it.

    Args:
        record: as it is.
        spec: what is to be set; its signature scheme, where it names one, has to be the record's.
        targets: which ones may be called.

    Raises:
        InvalidField: something of it cannot be used.
        PermissionDenied: the target may not be called.
    """
    target = targets.read(spec.target, "spec.target")
    if spec.signature_scheme not in (SIGNATURE_SCHEME_UNSPECIFIED, record.scheme):
        raise InvalidField("the signature scheme cannot change", field="spec.signature_scheme")
    timeout_ms = 0
    if spec.HasField("attempt_timeout"):
        timeout = spec.attempt_timeout
        timeout_ms = timeout.seconds * 1000 + timeout.nanos // NS_PER_MS
        if not 1 <= timeout_ms <= MAX_ATTEMPT_TIMEOUT_MS:
            raise InvalidField(
                f"it has to be from 1 to {MAX_ATTEMPT_TIMEOUT_MS} ms", field="spec.attempt_timeout"
            )
    if spec.max_in_flight > MAX_IN_FLIGHT:
        raise InvalidField(f"at most {MAX_IN_FLIGHT} are allowed", field="spec.max_in_flight")
    if spec.max_batch > MAX_BATCH:
        raise InvalidField(f"at most {MAX_BATCH} are allowed", field="spec.max_batch")
    if spec.max_batch > 1 and not target.is_grpc:
        raise InvalidField("only a gRPC target takes many in one message", field="spec.max_batch")
    return replace(
        record,
        target=spec.target,
        attempt_timeout_ms=timeout_ms,
        max_in_flight=spec.max_in_flight,
        max_batch=spec.max_batch,
        ordered=spec.ordered,
    )


def spec_scheme(spec: CallbackSpec) -> Scheme:
    """Returns the signature scheme of a new callback. Raises InvalidField."""
    try:
        return Scheme(spec.signature_scheme or Scheme.HMAC_SHA256)
    except ValueError as error:
        raise InvalidField("there is no such scheme", field="spec.signature_scheme") from error


def secret_for(scheme: int, given: str) -> tuple[Secret, str]:
    """Returns a secret to sign with, and what its caller has to be told of it.

    Args:
        scheme: what it is for.
        given: by the caller; empty where one is to be made.

    Returns:
        The secret, and its text if it was made and the receiver needs it, else an empty one.

    Raises:
        InvalidField: what was given cannot sign so.
    """
    if not given:
        made, public_key = make_secret(scheme)
        return Secret(text=made), "" if public_key else made
    try:
        given_scheme = check_secret(given)
    except MalformedKey as error:
        raise InvalidField(str(error), field="secret") from error
    if given_scheme != scheme:
        raise InvalidField("it is for another signature scheme", field="secret")
    return Secret(text=given), ""


def callback_message(record: CallbackRecord, now_ms: int) -> Callback:
    """Returns a callback without its secrets.

    Args:
        record: as kept.
        now_ms: the queue's clock, by which secrets are retired.
    """
    secrets = live_secrets(record, now_ms)
    retired_ms = [secret.retired_ms for secret in secrets if secret.retired_ms is not None]
    spec = CallbackSpec(
        target=record.target,
        signature_scheme=SignatureScheme.ValueType(record.scheme),
        max_in_flight=record.max_in_flight,
        max_batch=record.max_batch,
        ordered=record.ordered,
    )
    if record.attempt_timeout_ms:
        spec.attempt_timeout.FromMilliseconds(record.attempt_timeout_ms)
    return Callback(
        tenant=record.tenant,
        name=record.name,
        spec=spec,
        enabled=record.enabled,
        disabled_reason=record.disabled_reason,
        public_key=public_key_of(record.secrets[0].text),
        secret_count=len(secrets),
        retire_time=timestamp(min(retired_ms, default=None)),
        create_time=timestamp(record.created_ms),
        update_time=timestamp(record.updated_ms),
    )


def live_secrets(record: CallbackRecord, now_ms: int) -> Sequence[Secret]:
    """Returns the secrets that sign, newest first."""
    return [
        secret
        for secret in record.secrets
        if secret.retired_ms is None or secret.retired_ms > now_ms
    ]
