"""What can be wrong with a key or a signature; no message ever holds a secret."""

from __future__ import annotations


class MalformedKey(ValueError):
    """A secret or a public key that cannot be used."""


class SignatureError(Exception):
    """A delivery whose signature does not prove that it comes from who knows the secret."""


class MalformedDelivery(SignatureError):
    """Its id, its timestamp or its signatures are missing or cannot be read."""


class TimestampTooOld(SignatureError):
    """It was signed longer ago than is tolerated: a replay, or a clock that is wrong."""


class TimestampTooNew(SignatureError):
    """It was signed further in the future than is tolerated: a clock that is wrong."""


class NoMatchingSignature(SignatureError):
    """None of its signatures is one of these keys over this content: it was altered, or another's.

    Signatures of versions that are not known are passed over, and do not match.
    """
