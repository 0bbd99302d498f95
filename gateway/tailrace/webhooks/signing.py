"""Signatures over `id.timestamp.body`, as Standard Webhooks 1.0.0 has them.

`v1,…` is HMAC-SHA256 and `v1a,…` is ed25519, both in base64.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable

from tailrace.webhooks.errors import MalformedKey
from tailrace.webhooks.keys import (
    HMAC_PREFIX,
    PUBLIC_PREFIX,
    SIGNING_PREFIX,
    Scheme,
    check_secret,
    ed25519_bytes,
    hmac_key,
)

HMAC_VERSION = "v1"
ED25519_VERSION = "v1a"


class Signer:
    """Signs with one secret, whose text is read once."""

    def __init__(self, secret: str) -> None:
        """Reads a `whsec_` or `whsk_` secret. Raises MalformedKey."""
        self.scheme = check_secret(secret)
        self._sign: Callable[[bytes], bytes]
        if self.scheme is Scheme.HMAC_SHA256:
            key = hmac_key(secret)
            self._prefix = f"{HMAC_VERSION},"
            self._sign = lambda content: hmac.digest(key, content, "sha256")
        else:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

            seed = ed25519_bytes(secret, SIGNING_PREFIX)
            self._prefix = f"{ED25519_VERSION},"
            self._sign = Ed25519PrivateKey.from_private_bytes(seed).sign

    def sign(self, delivery_id: str, timestamp_s: int, body: bytes) -> str:
        """Returns the signature of a delivery, such as `v1,…`.

        Args:
            delivery_id: without a full stop.
            timestamp_s: when it is sent, in seconds since 1970.
            body: as it is sent.

        Raises:
            ValueError: the id has a full stop, or is empty.
        """
        content = signed_content(delivery_id, timestamp_s, body)
        return self._prefix + base64.b64encode(self._sign(content)).decode()


def sign(secret: str, delivery_id: str, timestamp_s: int, body: bytes) -> str:
    """Returns the signature of one delivery, as `Signer` does. Raises MalformedKey, ValueError."""
    return Signer(secret).sign(delivery_id, timestamp_s, body)


def signed_content(delivery_id: str, timestamp_s: int, body: bytes) -> bytes:
    """Returns what is signed. Raises ValueError for an id that has a full stop, or is empty."""
    # The parts are told apart by full stops only: `a.1` with `2` reads like `a` with `1.2`.
    if not delivery_id or "." in delivery_id:
        raise ValueError("the id of a delivery may not be empty, and may not have a full stop")
    return b"%b.%d.%b" % (delivery_id.encode(), timestamp_s, body)


def is_hmac(key: str) -> bool:
    """Returns whether a key is `whsec_`; False for `whpk_`. Raises MalformedKey for others."""
    if key.startswith(HMAC_PREFIX):
        return True
    if key.startswith(PUBLIC_PREFIX):
        return False
    raise MalformedKey("what verifies is a whsec_ secret or a whpk_ public key")
