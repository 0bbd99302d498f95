"""Where the command `tailrace` begins, also where only the client was installed."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

# gRPC's own sockets and not those of its newer event engine: a unary call through grpc.aio then
# wakes two threads rather than five, and takes about a quarter less CPU and time
# (docs/measurements.md, "Where a hop's time goes"). gRPC reads it once, when it is imported.
_GRPC_EXPERIMENTS = "-event_engine_client,-event_engine_listener"

# ONNX Runtime for Linux collects and sends usage data unless this is set before it is imported
# (Privacy.md of its sources). Whoever wants that sets it to 0.
_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"

# 128 and the number of SIGINT, as for a command that Ctrl-C ends later, and of SIGTERM.
_INTERRUPTED = 130
_TERMINATED = 143

_REMEDY = 'tailrace: error: the command line needs an extra: pip install "tailrace[server]"'


def main() -> None:
    """Runs the command line; without what it needs, says in a line how to install that."""
    if os.getpid() == 1:
        # The kernel keeps signals that are not handled from the first process of a container. What
        # drains on SIGTERM puts its own handler in place of this one.
        signal.signal(signal.SIGTERM, _end)
    # For the processes that are started from here, too: services, Triton, and preparations.
    os.environ.setdefault(_NO_TELEMETRY, "1")  # noqa: TID251
    if sys.argv[1:2] == ["serve"]:
        # Only here: the other commands start Triton, too, whose gRPC is another.
        os.environ.setdefault("GRPC_EXPERIMENTS", _GRPC_EXPERIMENTS)  # noqa: TID251
    try:
        from tailrace.cli.main import main as run
    except ModuleNotFoundError as error:
        # A module of Tailrace's own that is missing is a defect, which no extra mends.
        if (error.name or "").partition(".")[0] == "tailrace":
            raise
        print(f"{_REMEDY} (there is no module {error.name!r})", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    run()


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(_TERMINATED)
