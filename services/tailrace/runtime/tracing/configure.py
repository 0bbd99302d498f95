"""The tracing of a process, as its settings have it."""

from __future__ import annotations

from tailrace.runtime.config import ProcessSettings
from tailrace.runtime.start_error import StartError
from tailrace.runtime.tracing.resource import resource_attributes
from tailrace.runtime.tracing.span_exporter import SpanExporter
from tailrace.runtime.tracing.span_queue import SpanQueue
from tailrace.runtime.tracing.tracing import Tracing, set_process_tracing


class ProcessTracing:
    """What a process traces with; close it once the process's work has ended."""

    def __init__(self, queue: SpanQueue | None) -> None:
        """Keeps the queue, if spans go anywhere."""
        self._queue = queue

    def close(self, timeout_s: float = 1.0) -> None:
        """Sends what waits, for at most `timeout_s` seconds. Nothing is told any more."""
        set_process_tracing(Tracing())
        if self._queue is not None:
            self._queue.close(timeout_s)


def configure_tracing(settings: ProcessSettings, service: str) -> ProcessTracing:
    """Sets the tracing of this process. Call once, after its logs and before its parts are made.

    Args:
        settings: where spans go, and who is traced.
        service: short name of the process, such as `gateway`.

    Raises:
        StartError: the file cannot be written.
    """
    exporter = _exporter(settings, service)
    if exporter is None:
        set_process_tracing(Tracing())
        return ProcessTracing(None)
    queue = SpanQueue(
        exporter,
        max_spans=settings.traces_queue_spans,
        interval_s=settings.traces_interval_ms / 1000,
    )
    tracing = Tracing(
        queue,
        sample_rate=settings.traces_sample_rate,
        slow_share=settings.traces_slow_share,
        afterwards_per_s=settings.traces_afterwards_per_s,
        follow_callers=settings.traces_follow_callers,
    )
    set_process_tracing(tracing)
    return ProcessTracing(queue)


def _exporter(settings: ProcessSettings, service: str) -> SpanExporter | None:
    resource = resource_attributes(service, settings.environment)
    if settings.traces_file is not None:
        from tailrace.runtime.tracing.otlp_file import OtlpFileExporter

        try:
            return OtlpFileExporter(settings.traces_file, resource)
        except OSError as error:
            raise StartError(
                f"{service}: cannot write spans to {settings.traces_file}: {error.strerror}; "
                "name a file in a folder that is there and may be written with "
                "TAILRACE_TRACES_FILE"
            ) from error
    if settings.traces_endpoint is not None:
        # A fifth of a second, which those who send none need not spend.
        from tailrace.runtime.tracing.otlp_http import OtlpHttpExporter

        return OtlpHttpExporter(settings.traces_endpoint, resource)
    return None
