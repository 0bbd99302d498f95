"""Writes spans to a file, as the Collector's file exporter does: one export request a line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tailrace.runtime.tracing.otlp_json import request_frame, span_text
from tailrace.runtime.tracing.span import AttributeValue, Span
from tailrace.runtime.tracing.span_exporter import Exported


class OtlpFileExporter:
    """Appends to a file, which processes may share: each line is one write. A `SpanExporter`."""

    def __init__(self, path: Path, resource: Mapping[str, AttributeValue]) -> None:
        """Opens the file, and makes it if there is none.

        Args:
            path: of the file.
            resource: what its lines say of this process.

        Raises:
            OSError: it cannot be written.
        """
        self.target = str(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._torn = False
        self._before, self._behind = request_frame(resource)

    def export(self, spans: Iterable[Span], count: int, offset_ns: int) -> Exported:
        """Returns what became of the spans. See `SpanExporter.export`."""
        texts, problem = [], ""
        for span in spans:
            try:
                texts.append(span_text(span, offset_ns))
            except (TypeError, ValueError) as error:
                problem = f"the span {span.name!r} cannot be written as JSON: {error}"
        if not texts:
            return Exported(count, problem)
        line = f"{self._before}{','.join(texts)}{self._behind}\n".encode()
        if self._torn:
            # What a full disk has left of another line must not spoil this one.
            line = b"\n" + line
        try:
            written = os.write(self._file, line)
        except OSError as error:
            return Exported(count, error.strerror or type(error).__name__)
        self._torn = written < len(line)
        if self._torn:
            return Exported(count, f"{written} bytes of {len(line)} were written")
        return Exported(count - len(texts), problem)

    def abandon(self) -> None:
        """Has no attempts to end."""

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)
