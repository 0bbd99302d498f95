"""Why a process does not start; knows nothing of gRPC, as the parent of workers has none."""

from __future__ import annotations


class StartError(Exception):
    """The process cannot start; the message says why and what to do."""


def port_in_use(service: str, host: str, port: int, setting: str = "TAILRACE_PORT") -> StartError:
    """Returns the error of a gRPC port that cannot be bound, most likely as it is in use."""
    return StartError(
        f"{service}: cannot listen on {host}:{port}; is the port in use? Choose another with "
        f"{setting}, or 0 for any free one"
    )
