"""Keys: `whsec_` (HMAC-SHA256), `whsk_` and `whpk_` (the two halves of an ed25519 pair).

The text after the prefix is base64. A `whsec_` key has 24 to 64 bytes, the others 32; that of
`whsk_` is the seed (RFC 8032, 5.1.5).
"""

from __future__ import annotations

import base64
import binascii
import enum
import secrets

from tailrace.webhooks.errors import MalformedKey

HMAC_PREFIX = "whsec_"
SIGNING_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"
MIN_HMAC_BYTES = 24
MAX_HMAC_BYTES = 64
NEW_HMAC_BYTES = 32
ED25519_BYTES = 32


class Scheme(enum.IntEnum):
    """How deliveries are signed; the numbers of `tailrace.v1.SignatureScheme`."""

    HMAC_SHA256 = 1
    ED25519 = 2


def make_secret(scheme: int) -> tuple[str, str]:
    """Returns a new secret, and its public key, which is empty for HMAC.

    Raises:
        MalformedKey: there is no such scheme.
    """
    if scheme == Scheme.HMAC_SHA256:
        return HMAC_PREFIX + _text(secrets.token_bytes(NEW_HMAC_BYTES)), ""
    if scheme == Scheme.ED25519:
        secret = SIGNING_PREFIX + _text(secrets.token_bytes(ED25519_BYTES))
        return secret, public_key_of(secret)
    raise MalformedKey(f"there is no signature scheme {scheme}")


def check_secret(secret: str) -> Scheme:
    """Returns the scheme of a secret that can sign. Raises MalformedKey."""
    if secret.startswith(HMAC_PREFIX):
        hmac_key(secret)
        return Scheme.HMAC_SHA256
    if secret.startswith(SIGNING_PREFIX):
        ed25519_bytes(secret, SIGNING_PREFIX)
        return Scheme.ED25519
    raise MalformedKey(f"a secret begins with {HMAC_PREFIX} or {SIGNING_PREFIX}")


def public_key_of(secret: str) -> str:
    """Returns the public key of a secret, `whpk_…`; empty for HMAC. Raises MalformedKey."""
    if check_secret(secret) is Scheme.HMAC_SHA256:
        return ""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(ed25519_bytes(secret, SIGNING_PREFIX))
    return PUBLIC_PREFIX + _text(private.public_key().public_bytes_raw())


def hmac_key(secret: str) -> bytes:
    """Returns the bytes of a `whsec_` secret. Raises MalformedKey."""
    key = _decoded(secret, HMAC_PREFIX)
    if not MIN_HMAC_BYTES <= len(key) <= MAX_HMAC_BYTES:
        raise MalformedKey(
            f"a {HMAC_PREFIX} secret has {MIN_HMAC_BYTES} to {MAX_HMAC_BYTES} bytes in base64, "
            f"this one has {len(key)}"
        )
    return key


def ed25519_bytes(key: str, prefix: str) -> bytes:
    """Returns the 32 bytes of a `whsk_` or `whpk_` key. Raises MalformedKey."""
    content = _decoded(key, prefix)
    if len(content) != ED25519_BYTES:
        raise MalformedKey(
            f"a {prefix} key has {ED25519_BYTES} bytes in base64, this one has {len(content)}"
        )
    return content


def _decoded(key: str, prefix: str) -> bytes:
    if not key.startswith(prefix):
        raise MalformedKey(f"the key does not begin with {prefix}")
    text = key.removeprefix(prefix)
    # Some tools leave the padding out.
    padded = text + "=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        # Not chained: the cause may quote the key.
        raise MalformedKey(f"the key after {prefix} is not base64") from None


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
