"""Ports and numbers of replicas as they are given on the command line."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from tailrace.runtime.placement import HOPS

PROCESSES = (
    *("gateway", *HOPS, "dispatcher", "courier", "events"),
    *("redis", "queue-redis", "triton"),
)
_LARGEST_PORT = 65_535


def parse_ports(texts: Sequence[str]) -> dict[str, int]:
    """Returns the port of each process that is named.

    Args:
        texts: `PORT`, for the gateway, or `NAME=PORT`, where the second replica of `ingest` is
            `ingest-2`.

    Raises:
        typer.BadParameter: if there is no such process, or no such port.
    """
    ports = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        name = name or "gateway"
        if name not in PROCESSES and not _is_replica(name):
            known = ", ".join(PROCESSES)
            raise typer.BadParameter(f"{text!r}: there is no {name!r}; there are {known}")
        if not number.isdecimal() or int(number) > _LARGEST_PORT:
            raise typer.BadParameter(f"{text!r}: {number!r} is not a port from 0 to 65535")
        ports[name] = int(number)
    return ports


def parse_replicas(texts: Sequence[str]) -> dict[str, int]:
    """Returns the number of replicas of each hop that is named, in the form `HOP=NUMBER`.

    Raises:
        typer.BadParameter: a text has another form; which hops there are, and how many replicas
            they may have, the settings check.
    """
    replicas = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not equals or not number.isdecimal():
            raise typer.BadParameter(f"{text!r} does not say HOP=NUMBER, such as ingest=2")
        replicas[name] = int(number)
    return replicas


def _is_replica(name: str) -> bool:
    hop, _, number = name.rpartition("-")
    return hop in HOPS and number.isdecimal() and int(number) > 1
