"""Metadata from JSON: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests."""

from __future__ import annotations

import binascii
import re
from typing import Any

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.request import Metadata

_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
# HTTP/2 and gRPC set these themselves, or know them no more.
_RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "grpc-accept-encoding",
        "grpc-encoding",
        "grpc-message",
        "grpc-message-type",
        "grpc-status",
        "grpc-timeout",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_SHOWN = 40


def read_metadata(value: Any, place: str) -> list[Metadata]:
    """Returns the metadata that calls take in turn.

    Args:
        value: an object of JSON, or an array of them. What it has under a name is a string, or an
            array of strings: the name is then sent several times. Names that end with `-bin` have
            base64.
        place: where it comes from, for errors.

    Returns:
        Of each object: names in lower case, values as they are sent, as bytes for `-bin` names.

    Raises:
        LoadError: it is none of this, or gRPC does not allow a name or a value.
    """
    if not isinstance(value, list):
        return [_one(value, place)]
    if not value:
        raise LoadError(f"{place} is an empty array", "metadata without entries is {}")
    return [_one(item, f"object {at} of {place}") for at, item in enumerate(value, start=1)]


def _one(value: Any, place: str) -> Metadata:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise LoadError(f"{place} is no object of JSON", 'write it as {"name": "value"}')
    pairs: list[tuple[str, str | bytes]] = []
    for written, item in value.items():
        name = checked_name(written, place)
        for text in item if isinstance(item, list) else [item]:
            if not isinstance(text, str):
                raise LoadError(f"{place}: {written!r} is no string", "put its value in quotes")
            pairs.append((name, checked_value(name, text, place)))
    return tuple(pairs)


def checked_name(name: str, place: str) -> str:
    """Returns a name in lower case.

    Raises:
        LoadError: gRPC does not allow it.
    """
    lower = name.lower()
    if lower.startswith(":") or lower in _RESERVED:
        raise LoadError(f"{place}: {name!r} is reserved", "it is set by gRPC itself")
    if not _NAME.fullmatch(lower):
        raise LoadError(
            f"{place}: {name!r} is no name of metadata", "it has letters, digits, and any of _ . -"
        )
    return lower


def checked_value(name: str, text: str, place: str) -> str | bytes:
    """Returns a value as it is sent.

    Raises:
        LoadError: gRPC does not allow it.
    """
    if name.endswith("-bin"):
        try:
            padding = "=" * (-len(text) % 4)
            return binascii.a2b_base64(text + padding, strict_mode=True)
        except (binascii.Error, ValueError) as error:
            raise LoadError(
                f"{place}: {name!r} is no base64: {text[:_SHOWN]!r}",
                "values of names in -bin are base64",
            ) from error
    if not _VALUE.fullmatch(text):
        shown = text[:_SHOWN]
        raise LoadError(
            f"{place}: {name!r} has what is no printable ASCII: {shown!r}",
            "give it another name, one that ends with -bin, and base64",
        )
    return text
