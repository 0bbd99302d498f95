"""`tailrace serve`: runs one process of the mesh."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from tailrace.runtime.config import (
    HOP_SETTINGS,
    CourierSettings,
    DispatcherSettings,
    EventsSettings,
    GatewaySettings,
    ServerSettings,
    SettingsError,
    load_settings,
)
from tailrace.runtime.logs import configure_logs
from tailrace.runtime.start_error import StartError
from tailrace.runtime.tracing.configure import configure_tracing

SERVICES: dict[str, type[ServerSettings]] = {
    **HOP_SETTINGS,
    "gateway": GatewaySettings,
    "dispatcher": DispatcherSettings,
    "courier": CourierSettings,
    "events": EventsSettings,
}
# Where a service's `app` is, if not in the package of its name.
_PACKAGES = {"events": "features.events"}


def serve(service: str, **overrides: object) -> int:
    """Runs a service until it is told to stop.

    Args:
        service: one of `SERVICES`.
        overrides: settings that come before the environment; for a single process only, as
            the workers of a gateway read theirs anew.

    Returns:
        The exit status: 0 after a drain, 1 if a port is in use, 2 for unusable settings.
    """
    try:
        settings = load_settings(SERVICES[service], **overrides)
    except SettingsError as error:
        print(f"tailrace serve {service}: {error}", file=sys.stderr)
        return 2
    # Who joins a port is one of the workers, and not their parent.
    is_parent = isinstance(settings, GatewaySettings) and settings.workers > 1
    # A dispatcher has the gateway's settings, too.
    is_parent = is_parent and service == "gateway" and not settings.join_port
    if (is_parent or settings.join_port) and isinstance(sys.stdout, io.TextIOWrapper):
        # They write to one output, which a line has to reach whole.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        logs = configure_logs(settings, service)
    except StartError as error:
        print(f"tailrace serve {service}: {error}", file=sys.stderr)
        return 1
    try:
        if isinstance(settings, GatewaySettings) and is_parent:
            return _run_workers(settings)
        tracing = configure_tracing(settings, service)
        try:
            _run_service(service, settings)
        finally:
            tracing.close()
    except StartError as error:
        print(f"tailrace serve {service}: {error}", file=sys.stderr)
        return 1
    finally:
        logs.close()
    return 0


def _run_service(service: str, settings: ServerSettings) -> None:
    # Each service imports what the others need not have: redis, tritonclient, onnxruntime.
    from tailrace.runtime import event_loop

    run: Callable[[Any], Coroutine[Any, Any, None]] = importlib.import_module(
        f"tailrace.{_PACKAGES.get(service, service)}.app"
    ).run
    os.nice(settings.niceness)
    event_loop.run(run(settings))


def _run_workers(settings: GatewaySettings) -> int:
    from tailrace.cli.workers.supervisor import run_workers

    return run_workers(settings)
