"""The tool's own log, in a file (`--debug`)."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.standard_streams import complain

LOGGER = logging.getLogger("tailrace.loadtest")
# Without a file, errors are told in a line, and nowhere else.
LOGGER.addHandler(logging.NullHandler())


class _Line(logging.Formatter):
    """A JSON object with ghz's keys: level, time, message, and what else there is to say."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "level": record.levelname.lower(),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "message": record.getMessage(),
            **getattr(record, "figures", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _File(logging.FileHandler):
    """A file that, once it cannot be written, is left alone: the run goes on."""

    _fault = ""

    def emit(self, record: logging.LogRecord) -> None:
        if not self._fault:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        self._note(sys.exception())

    def finish(self) -> None:
        """Closes it, and says in a line if it lacks something."""
        try:
            self.close()
        except OSError as error:
            self._note(error)
        if self._fault:
            complain(f"warning: --debug: the log is not whole: {self._fault}")

    def _note(self, error: BaseException | None) -> None:
        self._fault = self._fault or str(error)


@contextmanager
def debug_log(path: Path | None) -> Iterator[None]:
    """Writes what is logged below `tailrace.loadtest` to a file, as long as the context lasts.

    Args:
        path: the file, which is made anew if it is there; None for no log.

    Raises:
        LoadError: it cannot be written.
    """
    if path is None:
        yield
        return
    try:
        handler = _File(path, mode="w", encoding="utf-8")
    except OSError as error:
        raise LoadError(
            f"--debug: {path}: {error.strerror}", "name a file that can be written"
        ) from None
    handler.setFormatter(_Line())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        handler.finish()
