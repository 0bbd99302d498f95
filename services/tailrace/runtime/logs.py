"""Structured logs: one ECS JSON object a line, never blocking a request.

Lines go to standard output, or to a file in its place, and to a Logstash over TCP, too, where the
settings name one: each output has a writer of its own (`log_writer.py`), so that none waits for
another.
"""

from __future__ import annotations

import io
import os
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import ProcessSettings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.log_failures import FailureBound
from tailrace.runtime.log_line import LogLines, cut_middle
from tailrace.runtime.log_outputs import DescriptorOutput, FileOutput, Output, TextOutput
from tailrace.runtime.log_privacy import LogPrivacy, privacy_of
from tailrace.runtime.log_stdlib import take_over_library_logs
from tailrace.runtime.log_tcp import TcpOutput
from tailrace.runtime.log_writer import CLOSE_TIMEOUT_S, LineWriter
from tailrace.runtime.start_error import StartError

DROPPED = "log lines dropped"
SUPPRESSED = "log lines held back"

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
# Reset by `Logs.close`, so that what one process has been told does not outlive it in tests.
_privacy: LogPrivacy[Any] = LogPrivacy()
_failures = FailureBound(float("inf"))
_tells_warnings = True
_sample_rate = 0.0


class _Named:
    """What structlog takes for a logger: its name, for the renderer, and where lines go."""

    __slots__ = ("logger_name", "msg")

    def __init__(self, logger_name: str, write: Callable[[str], None]) -> None:
        self.logger_name = logger_name
        self.msg = write

    def __getattr__(self, _: str) -> Callable[[str], None]:
        return self.msg


class Logs:
    """The lines of this process, from `configure_logs` until `close`."""

    def __init__(self, settings: ProcessSettings, service: str, outputs: Sequence[Output]) -> None:
        """Starts a writer for each output."""
        constant = {
            names.SERVICE_NAME: f"tailrace.{service}",
            names.SERVICE_VERSION: metadata.version("tailrace"),
            names.SERVICE_ENVIRONMENT: settings.environment,
            names.EVENT_DATASET: f"tailrace.{service}",
            names.DATA_STREAM_TYPE: "logs",
            names.DATA_STREAM_DATASET: f"tailrace.{service}",
            names.DATA_STREAM_NAMESPACE: settings.log_namespace,
            # Workers of one service write to one output.
            names.PROCESS_PID: os.getpid(),
        }
        self._line = LogLines(constant).line
        self._lowest = _LEVELS[settings.log_level]
        self._writers: list[LineWriter] = []
        # One of them asks what was held back, for all.
        for output in outputs:
            each_second = None if self._writers else self._tell_held_back
            self._writers.append(LineWriter(output, self._dropped, each_second))
        self._loggers: dict[str, _Named] = {}
        self._give_back_libraries = take_over_library_logs(self._tell)

    def logger(self, *name: Any) -> _Named:
        """Returns what structlog writes the lines of a module to."""
        key = str(name[0]) if name else ""
        found = self._loggers.get(key)
        if found is None:
            found = self._loggers[key] = _Named(key, self.write)
        return found

    def write(self, line: str) -> None:
        """Hands a line to every output."""
        for writer in self._writers:
            writer.write(line)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Writes what is queued, for at most `timeout_s` seconds each output; call last."""
        self._give_back_libraries()
        self._tell_held_back()
        for writer in self._writers:
            writer.close(timeout_s)

    def render(self, logger: WrappedLogger, level: str, event: EventDict) -> str:
        """Returns the line: structlog's last processor."""
        fields = {names.LOGGER: getattr(logger, "logger_name", ""), **event}
        return self._line(str(fields.pop("event")), level, fields)

    def _tell(self, level: str, message: str, event: dict[str, object]) -> None:
        if _LEVELS[level] < self._lowest or not _failures.may_tell(str(event[names.LOGGER])):
            return
        fields = _with_exception(event)
        if _privacy.hides_anything:
            # A library may put anything into its text: the name of its logger is what is told.
            message = "a library's message, not shown as request fields are redacted"
        self.write(self._line(message, level, fields))

    def _dropped(self, output: str, lines: int) -> str:
        return self._line(DROPPED, "warning", {names.OUTPUT: output, names.DROPPED_LINES: lines})

    def _tell_held_back(self) -> None:
        for reason, lines in _failures.take_held_back().items():
            fields = {names.REASON: reason, names.SUPPRESSED_LINES: lines}
            self.write(self._line(SUPPRESSED, "warning", fields))


def configure_logs(settings: ProcessSettings, service: str, stream: TextIO | None = None) -> Logs:
    """Sends structlog's lines to the outputs as ECS JSON. Call once per process.

    Args:
        settings: level, outputs, bounds, what of requests is shown.
        service: name of the service, such as `gateway`.
        stream: where to write in place of standard output and of the settings' file.

    Returns:
        The lines; close them last.

    Raises:
        StartError: the file cannot be opened.
    """
    global _privacy, _failures, _tells_warnings, _sample_rate
    outputs = [_first_output(settings, stream)]
    if settings.log_tcp is not None:
        outputs.append(_tcp_output(settings.log_tcp))
    _privacy = privacy_of(settings.log_payload_fields, settings.log_redacted_fields)
    _failures = FailureBound(settings.log_failures_per_s)
    _tells_warnings = _LEVELS[settings.log_level] <= _LEVELS["warning"]
    _sample_rate = settings.log_sample_rate
    logs = Logs(settings, service, outputs)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _bounded,
            lambda _, __, event: _with_exception(event),
            logs.render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=logs.logger,
        cache_logger_on_first_use=False,
    )
    return logs


def process_privacy() -> LogPrivacy[Any]:
    """Returns what lines of this process may tell of requests."""
    return _privacy


def may_tell_failure(reason: str) -> bool:
    """Returns whether a failure may have a line; to be asked before costly fields are made.

    The line then says `TOLD: True`, so that it is not counted again.
    """
    # What the level leaves out is not held back either.
    return _tells_warnings and _failures.may_tell(reason)


TOLD = "_told"
"""Key of a line that `may_tell_failure` was asked for; it is not written."""


def in_sample(request_id: str) -> bool:
    """Returns whether a request's lines are logged at the rate of this process's settings."""
    return sampled(request_id, _sample_rate)


def sampled(request_id: str, rate: float) -> bool:
    """Returns whether a request's lines are logged; every process decides alike."""
    return zlib.crc32(request_id.encode()) < rate * 2**32


def sampled_places(request_ids: Sequence[str], rate: float) -> list[int]:
    """Returns the places of the requests that `sampled` is true of."""
    if rate <= 0:
        return []
    bound, hashed = rate * 2**32, zlib.crc32
    return [place for place, each in enumerate(request_ids) if hashed(each.encode()) < bound]


def failure_text(error: TailraceError) -> str:
    """Returns what lines and spans of this process may say of an error, in words."""
    return _privacy.error_text(error.message, error.field)


def failure_fields(error: TailraceError) -> dict[str, str]:
    """Returns what a line about a failed request or row says of its error."""
    return {
        names.EVENT_OUTCOME: "failure",
        names.ERROR_CODE: error.code.name,
        names.ERROR_MESSAGE: failure_text(error),
        names.REASON: error.reason.name,
        names.FIELD: error.field,
    }


def _first_output(settings: ProcessSettings, stream: TextIO | None) -> Output:
    if stream is None and settings.log_file is not None:
        try:
            return FileOutput(settings.log_file)
        except OSError as error:
            raise StartError(
                f"cannot write log lines to TAILRACE_LOG_FILE={settings.log_file}: {error.strerror}"
            ) from error
    stream = sys.stdout if stream is None else stream
    try:
        return DescriptorOutput(stream.fileno())
    except (AttributeError, io.UnsupportedOperation):
        return TextOutput(stream)


def _tcp_output(address: str) -> TcpOutput:
    host, _, port = address.rpartition(":")
    return TcpOutput(host.strip("[]"), int(port))


def _bounded(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if event.pop(TOLD, False):
        return event
    if event.get(names.EVENT_OUTCOME) == "failure" and not _failures.may_tell(
        str(event.get(names.REASON, ""))
    ):
        raise structlog.DropEvent
    return event


def _with_exception(event: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(event)
    error = fields.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        message, stack = _privacy.exception_text(error)
        fields[names.ERROR_TYPE] = type(error).__name__
        fields[names.ERROR_MESSAGE] = message
        fields[names.ERROR_STACK_TRACE] = cut_middle(stack)
    return fields
