"""Finished spans on their way out: a bounded queue, and the thread that empties it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

import structlog
from prometheus_client import Counter

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.tracing.span import Span
from tailrace.runtime.tracing.span_exporter import Exported, SpanExporter
from tailrace.runtime.tracing.wall_clock import wall_offset_ns

BATCH_SPANS = 512
# After a failed batch, however many spans wait.
PAUSE_S = 1.0
# Between lines that spans are dropped as too many wait.
WORD_EVERY_S = 60.0
# The thread shares the interpreter with the event loop, which gets it back only after 5 ms where
# nobody lets go of it before. To encode so many spans takes about a tenth of a millisecond.
_SPANS_BETWEEN_RESTS = 8
_REST_S = 0.0001

_SPANS = Counter(names.SPANS_TOTAL, "Finished spans by what became of them.", ["outcome"])
_SENT, _DROPPED, _FAILED = (_SPANS.labels(each) for each in ("sent", "dropped", "failed"))

_log = structlog.get_logger(__name__)


class SpanQueue:
    """Takes finished spans, and has them exported from a thread of its own. A `SpanSink`.

    A full queue drops spans, and a batch that the exporter gives up is lost; both are counted. That
    batches are lost, and that they are sent again, is one log line each.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        max_spans: int,
        interval_s: float,
        pause_s: float = PAUSE_S,
    ) -> None:
        """Starts the thread.

        Args:
            exporter: takes batches.
            max_spans: most spans that wait.
            interval_s: longest that a span waits for its batch to be full, in seconds.
            pause_s: after a failed batch, in seconds.
        """
        self._exporter = exporter
        self._max_spans = max_spans
        self._interval_s = interval_s
        self._pause_s = pause_s
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._lost = 0
        self._next_word_s = 0.0
        self._thread = threading.Thread(target=self._run, name="span-exporter", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Takes a span, or drops and counts it."""
        waiting = self._waiting
        if len(waiting) >= self._max_spans or self._closing.is_set():
            self._drop()
            return
        waiting.append(span)
        # Each batch wakes the thread once; what is missed here it finds after its interval.
        if len(waiting) == BATCH_SPANS:
            self._wake.set()

    def close(self, timeout_s: float = 1.0) -> None:
        """Sends what waits, for at most `timeout_s` seconds; the rest is dropped and counted."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            return
        dropped = len(self._next_batch(self._max_spans))
        _DROPPED.inc(dropped)
        self._exporter.abandon()
        _log.warning("spans are not sent: the process ends", spans=dropped, to=self._target())

    def _drop(self) -> None:
        _DROPPED.inc()
        now_s = time.monotonic()
        if now_s >= self._next_word_s and not self._closing.is_set():
            self._next_word_s = now_s + WORD_EVERY_S
            _log.warning("spans are dropped", waiting=len(self._waiting), to=self._target())

    def _run(self) -> None:
        while True:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            # Looked at first: what was put before it was set is sent below.
            closing = self._closing.is_set()
            while batch := self._next_batch(BATCH_SPANS):
                if not self._send(batch):
                    self._closing.wait(self._pause_s)
            if closing:
                self._exporter.close()
                return

    def _next_batch(self, most: int) -> list[Span]:
        batch: list[Span] = []
        # Another thread may take the last one at the same time.
        try:
            while len(batch) < most:
                batch.append(self._waiting.popleft())
        except IndexError:
            return batch
        return batch

    def _send(self, batch: Sequence[Span]) -> bool:
        """Returns whether all of a batch was taken."""
        try:
            done = self._exporter.export(_resting(batch), len(batch), wall_offset_ns())
        except Exception as error:  # the edge of the thread, which must outlive any batch
            _log.error("spans cannot be exported", to=self._target(), exc_info=error)
            done = Exported(len(batch), type(error).__name__)
        _SENT.inc(len(batch) - done.failed)
        _FAILED.inc(done.failed)
        self._tell(done)
        return not done.failed

    def _tell(self, done: Exported) -> None:
        if done.failed:
            if not self._lost:
                _log.warning("spans are lost", problem=done.problem, to=self._target())
            self._lost += done.failed
        elif self._lost:
            _log.info("spans are sent again", lost=self._lost, to=self._target())
            self._lost = 0

    def _target(self) -> str:
        return self._exporter.target


def _resting(batch: Sequence[Span]) -> Iterator[Span]:
    for place, span in enumerate(batch):
        if place and place % _SPANS_BETWEEN_RESTS == 0:
            time.sleep(_REST_S)
        yield span
