"""Proof that a delivery comes from who knows the secret, has not been altered, and is not old."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence

from tailrace.webhooks.errors import (
    MalformedDelivery,
    MalformedKey,
    NoMatchingSignature,
    TimestampTooNew,
    TimestampTooOld,
)
from tailrace.webhooks.keys import PUBLIC_PREFIX, ed25519_bytes, hmac_key
from tailrace.webhooks.signing import ED25519_VERSION, HMAC_VERSION, is_hmac, signed_content

TOLERANCE_S = 300
# More are not looked at: whoever sends thousands has the receiver do thousands of curve operations.
MAX_SIGNATURES = 16
# Seconds since 1970 until the year 9999.
_MAX_TIMESTAMP_DIGITS = 12


class Verifier:
    """Verifies deliveries with one key, or several while one is being rotated."""

    def __init__(self, keys: Sequence[str], *, tolerance_s: int = TOLERANCE_S) -> None:
        """Reads the keys.

        Args:
            keys: `whsec_` secrets and `whpk_` public keys; one of them has to match.
            tolerance_s: how far the time of signing may be from now, either way.

        Raises:
            MalformedKey: a key cannot be used, or there is none.
        """
        if not keys:
            raise MalformedKey("at least one key is needed")
        self._tolerance_s = tolerance_s
        self._hmac_keys = [hmac_key(key) for key in keys if is_hmac(key)]
        self._ed25519 = [_ed25519_check(key) for key in keys if not is_hmac(key)]

    def verify(
        self,
        delivery_id: str,
        timestamp_s: int,
        body: bytes,
        signatures: Sequence[str],
        now_s: float,
    ) -> None:
        """Returns if one of the signatures is of one of the keys, and recent.

        Args:
            delivery_id: `webhook-id`.
            timestamp_s: `webhook-timestamp`, in seconds since 1970.
            body: as it was received.
            signatures: such as `v1,…`; unknown versions are passed over.
            now_s: the time now, in seconds since 1970.

        Raises:
            SignatureError: its type says why not.
        """
        if timestamp_s < now_s - self._tolerance_s:
            raise TimestampTooOld(f"signed more than {self._tolerance_s} seconds ago")
        if timestamp_s > now_s + self._tolerance_s:
            raise TimestampTooNew(f"signed more than {self._tolerance_s} seconds in the future")
        if not signatures:
            raise MalformedDelivery("there is no signature")
        try:
            content = signed_content(delivery_id, timestamp_s, body)
        except (ValueError, UnicodeEncodeError) as error:
            raise MalformedDelivery(str(error)) from error
        hmacs = [hmac.digest(key, content, "sha256") for key in self._hmac_keys]
        for signature in signatures[:MAX_SIGNATURES]:
            version, _, text = signature.partition(",")
            if version not in (HMAC_VERSION, ED25519_VERSION):
                continue
            received = _decoded(text)
            if version == HMAC_VERSION:
                # All are compared, in constant time each.
                if sum(hmac.compare_digest(expected, received) for expected in hmacs):
                    return
            elif any(is_signature(received, content) for is_signature in self._ed25519):
                return
        raise NoMatchingSignature("no signature matches")


def verify(
    keys: Sequence[str],
    delivery_id: str,
    timestamp_s: int,
    body: bytes,
    signatures: Sequence[str],
    now_s: float,
    tolerance_s: int = TOLERANCE_S,
) -> None:
    """Verifies one delivery, as `Verifier` does. Raises MalformedKey, SignatureError."""
    Verifier(keys, tolerance_s=tolerance_s).verify(
        delivery_id, timestamp_s, body, signatures, now_s
    )


def parse_timestamp(text: str) -> int:
    """Returns the seconds of a `webhook-timestamp` header. Raises MalformedDelivery."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_TIMESTAMP_DIGITS):
        raise MalformedDelivery("the timestamp is not a number of seconds since 1970")
    return int(text)


def split_signatures(text: str) -> list[str]:
    """Returns the signatures of a `webhook-signature` header, which are parted by spaces."""
    return text.split(" ") if text else []


def _ed25519_check(key: str) -> Callable[[bytes, bytes], bool]:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = Ed25519PublicKey.from_public_bytes(ed25519_bytes(key, PUBLIC_PREFIX))

    def is_signature(signature: bytes, content: bytes) -> bool:
        try:
            public.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    return is_signature


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        # Matches nothing; another signature still may.
        return b""
