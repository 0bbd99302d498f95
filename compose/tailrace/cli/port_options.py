"""Ports as they are given on the command line."""

from __future__ import annotations

from collections.abc import Sequence

import typer

PROCESSES = ("gateway", "ingest", "features", "inference", "postprocess", "redis", "triton")
_LARGEST_PORT = 65_535


def parse_ports(texts: Sequence[str]) -> dict[str, int]:
    """Returns the port of each process that is named.

    Args:
        texts: `PORT`, for the gateway, or `NAME=PORT`.

    Raises:
        typer.BadParameter: if there is no such process, or no such port.
    """
    ports = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        name = name or "gateway"
        if name not in PROCESSES:
            known = ", ".join(PROCESSES)
            raise typer.BadParameter(f"{text!r}: there is no {name!r}; there are {known}")
        if not number.isdecimal() or int(number) > _LARGEST_PORT:
            raise typer.BadParameter(f"{text!r}: {number!r} is not a port from 0 to 65535")
        ports[name] = int(number)
    return ports
