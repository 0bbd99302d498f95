"""What spans say of the process that they are from."""

from __future__ import annotations

import functools
import os
import socket
import uuid
from importlib import metadata

from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue

SCOPE = "tailrace"


@functools.cache
def version() -> str:
    """Returns the version of Tailrace."""
    return metadata.version("tailrace")


def resource_attributes(service: str, environment: str) -> dict[str, AttributeValue]:
    """Returns the attributes of this process's resource, another `service.instance.id` each time.

    Args:
        service: short name of the process, such as `ingest`.
        environment: as TAILRACE_ENVIRONMENT says.
    """
    return {
        names.SERVICE_NAME: f"tailrace.{service}",
        names.SERVICE_VERSION: version(),
        names.SERVICE_INSTANCE: str(uuid.uuid4()),
        names.ENVIRONMENT: environment,
        names.PROCESS_PID: os.getpid(),
        names.HOST_NAME: socket.gethostname(),
    }
