"""Runs of the load tool's engine against `load_servers`, without a command line."""

from __future__ import annotations

from typing import Any

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.run import OnProgress, run_load
from tests.support.load_messages import ECHO_PROTO, SERVICE
from tests.support.load_servers import LoadServer


def load_options(target: str, method: str = "Echo", **changes: Any) -> LoadOptions:
    """Returns options for a load test of `test.load.EchoService`, in plaintext.

    Args:
        target: the server.
        method: its method.
        changes: options that are not the default ones.
    """
    options = {"insecure": True, "proto": ECHO_PROTO, "timeout": 10.0, **changes}
    return LoadOptions(host=target, call=f"{SERVICE}/{method}", **options)


async def loaded(
    server: LoadServer, method: str = "Echo", on_progress: OnProgress | None = None, **changes: Any
) -> RunResult:
    """Runs a load test and returns what came of it; arguments as those of `load_options`."""
    return await run_load(load_options(server.target, method, **changes), on_progress)
