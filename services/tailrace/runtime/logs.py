"""Structured logs: one ECS JSON object a line, on standard output, never blocking a request."""

from __future__ import annotations

import os
import queue
import sys
import threading
import zlib
from collections.abc import Sequence
from importlib import metadata
from typing import TextIO

import structlog
from prometheus_client import Counter
from structlog.typing import EventDict, WrappedLogger

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import ProcessSettings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.log_line import log_line

QUEUE_LINES = 10_000
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_DROPPED = Counter(names.LOG_LINES_DROPPED_TOTAL, "Log lines dropped because the output was slow.")


class LineWriter:
    """Writes lines from a thread of its own; a full queue drops the line and counts it."""

    def __init__(self, stream: TextIO) -> None:
        """Starts the thread."""
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(QUEUE_LINES)
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def msg(self, line: str) -> None:
        """Queues a line."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            _DROPPED.inc()

    log = debug = info = warning = error = critical = exception = msg

    def close(self, timeout_s: float = 1.0) -> None:
        """Writes what is queued, for at most `timeout_s` seconds, and stops."""
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            try:
                if line is not None:
                    self._stream.write(line + "\n")
                if line is None or self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                # The output is gone or full: there is nowhere left to say so but the counter.
                _DROPPED.inc()
            if line is None:
                return


def configure_logs(
    settings: ProcessSettings, service: str, stream: TextIO | None = None
) -> LineWriter:
    """Sends structlog's lines to a stream as ECS JSON. Call once per process.

    Args:
        settings: level and environment.
        service: name of the service, such as `gateway`.
        stream: where to write; standard output by default.

    Returns:
        The writer; close it last.
    """
    writer = LineWriter(sys.stdout if stream is None else stream)
    constant = {
        names.SERVICE_NAME: f"tailrace.{service}",
        names.SERVICE_VERSION: metadata.version("tailrace"),
        names.SERVICE_ENVIRONMENT: settings.environment,
        names.EVENT_DATASET: f"tailrace.{service}",
        # Workers of one service write to one output.
        names.PROCESS_PID: os.getpid(),
    }

    def render(_: WrappedLogger, method: str, event: EventDict) -> str:
        return log_line(str(event.pop("event")), method, {**constant, **event})

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _exception_fields,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    return writer


def sampled(request_id: str, rate: float) -> bool:
    """Returns whether a request's lines are logged; every process decides alike."""
    return zlib.crc32(request_id.encode()) < rate * 2**32


def sampled_places(request_ids: Sequence[str], rate: float) -> list[int]:
    """Returns the places of the requests that `sampled` is true of."""
    if rate <= 0:
        return []
    bound, hashed = rate * 2**32, zlib.crc32
    return [place for place, each in enumerate(request_ids) if hashed(each.encode()) < bound]


def failure_fields(error: TailraceError) -> dict[str, str]:
    """Returns what a line about a failed request or row says of its error."""
    return {
        names.EVENT_OUTCOME: "failure",
        names.ERROR_CODE: error.code.name,
        names.ERROR_MESSAGE: error.message,
        names.REASON: error.reason.name,
        names.FIELD: error.field,
    }


def _exception_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event[names.ERROR_TYPE] = type(error).__name__
        event[names.ERROR_MESSAGE] = str(error)
        event[names.ERROR_STACK_TRACE] = structlog.processors.ExceptionRenderer()(
            None, "", {"exc_info": error}
        )["exception"]
    return event
