"""What libraries log (grpc, asyncio, opentelemetry, redis) becomes lines like our own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tailrace.runtime import telemetry_names as names

Tell = Callable[[str, str, dict[str, object]], None]

_LEVELS = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
)


class LibraryHandler(logging.Handler):
    """Hands records of the standard library's loggers on, from WARNING upwards."""

    def __init__(self, tell: Tell) -> None:
        """Keeps where records go.

        Args:
            tell: takes level, message and fields, `exc_info` among them; must not block.
        """
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Hands a record on."""
        level = next((name for number, name in _LEVELS if record.levelno >= number), "info")
        fields: dict[str, object] = {names.LOGGER: record.name}
        try:
            message = record.getMessage()
        except Exception:  # a library's mistake: its values do not fit its text, or have none
            message = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        if record.exc_info and record.exc_info[1] is not None:
            fields["exc_info"] = record.exc_info[1]
        self._tell(level, message, fields)


def take_over_library_logs(tell: Tell) -> Callable[[], None]:
    """Sends the records of all loggers of the standard library to `tell`; returns the undoing."""
    handler = LibraryHandler(tell)
    root = logging.getLogger()
    root.addHandler(handler)
    return lambda: root.removeHandler(handler)
