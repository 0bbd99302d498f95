"""`tailrace serve`: runs one process of the mesh."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from tailrace.runtime.config import (
    FeaturesSettings,
    GatewaySettings,
    InferenceSettings,
    IngestSettings,
    PostprocessSettings,
    ServerSettings,
    SettingsError,
    load_settings,
)
from tailrace.runtime.logs import configure_logs
from tailrace.runtime.server import StartError

SERVICES: dict[str, type[ServerSettings]] = {
    "ingest": IngestSettings,
    "features": FeaturesSettings,
    "inference": InferenceSettings,
    "postprocess": PostprocessSettings,
    "gateway": GatewaySettings,
}


def serve(service: str, **overrides: object) -> int:
    """Runs a service until it is told to stop.

    Args:
        service: one of `SERVICES`.
        overrides: settings that come before the environment.

    Returns:
        The exit status: 0 after a drain, 1 if a port is in use, 2 for unusable settings.
    """
    try:
        settings = load_settings(SERVICES[service], **overrides)
    except SettingsError as error:
        print(f"tailrace serve {service}: {error}", file=sys.stderr)
        return 2
    writer = configure_logs(settings, service)
    # Each service imports what the others need not have: redis, tritonclient, onnxruntime.
    run: Callable[[Any], Coroutine[Any, Any, None]] = importlib.import_module(
        f"tailrace.{service}.app"
    ).run
    try:
        uvloop.run(run(settings))
    except StartError as error:
        print(f"tailrace serve {service}: {error}", file=sys.stderr)
        return 1
    finally:
        writer.close()
    return 0
