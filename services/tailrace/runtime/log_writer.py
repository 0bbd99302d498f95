"""Writes log lines from a thread of its own: the loop never waits for an output.

What waits is bounded, by lines and by bytes, the lines being written included. What does not fit is
dropped and counted, and told by a line of its own once writing goes on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from prometheus_client import Counter

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.log_outputs import Output

QUEUE_LINES = 10_000
QUEUE_BYTES = 8 * 1024 * 1024
# What is written at once. A pipe takes up to 4 KiB whole, whoever else writes to it (PIPE_BUF).
BATCH_BYTES = 64 * 1024
TICK_S = 1.0
CLOSE_TIMEOUT_S = 1.0

_DROPPED = Counter(
    names.LOG_LINES_DROPPED_TOTAL,
    "Log lines dropped because their output was slow, full or away.",
    ["output"],
)


class LineWriter:
    """Writes lines to one output, from a thread."""

    def __init__(
        self,
        output: Output,
        tell_dropped: Callable[[str, int], str] | None = None,
        each_second: Callable[[], None] | None = None,
    ) -> None:
        """Starts the thread.

        Args:
            output: where lines go; used by the thread alone.
            tell_dropped: makes the line about dropped lines, of the output's name and their number.
            each_second: called about once a second, by the thread; may write lines.
        """
        self._output = output
        self._tell_dropped = tell_dropped
        self._each_second = each_second
        self._called_s = time.monotonic()
        self._dropped_total = _DROPPED.labels(output.name)
        # Reentrant: what the collector of garbage runs may log, too.
        self._changed = threading.Condition(threading.RLock())
        self._lines: deque[bytes] = deque()
        self._held_lines = self._held_bytes = 0
        self._untold = 0
        self._closed_s: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"log-{output.name}", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queues a line, or drops it."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if (
                self._held_lines >= QUEUE_LINES
                or self._held_bytes + len(data) > QUEUE_BYTES
                or self._closed_s is not None
            ):
                self._untold += 1
                self._dropped_total.inc()
                return
            self._held_lines += 1
            self._held_bytes += len(data)
            self._lines.append(data)
            if len(self._lines) == 1:
                self._changed.notify()

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Writes what is queued, for at most `timeout_s` seconds; drops and counts the rest."""
        with self._changed:
            self._closed_s = time.monotonic() + timeout_s
            self._changed.notify()
        self._output.hurry()
        self._ended.wait(timeout_s)
        with self._changed:
            left, self._held_lines = self._held_lines, 0
            self._lines.clear()
        if left:
            self._dropped_total.inc(left)

    def _run(self) -> None:
        try:
            while True:
                batch = self._next_batch()
                self._call_each_second()
                if batch:
                    self._write(batch)
                elif self._closed_s is not None:
                    return
                else:
                    self._output.tick()
        finally:
            self._output.close()
            self._ended.set()

    def _call_each_second(self) -> None:
        now_s = time.monotonic()
        if self._each_second is not None and now_s - self._called_s >= TICK_S:
            self._called_s = now_s
            self._each_second()

    def _next_batch(self) -> list[bytes]:
        with self._changed:
            if not self._lines and self._closed_s is None:
                self._changed.wait(TICK_S)
            if self._closed_s is not None and time.monotonic() > self._closed_s:
                return []
            batch: list[bytes] = []
            size = 0
            while self._lines and (not batch or size + len(self._lines[0]) <= BATCH_BYTES):
                batch.append(self._lines.popleft())
                size += len(batch[-1])
            return batch

    def _write(self, batch: list[bytes]) -> None:
        written = self._write_out(batch)
        with self._changed:
            # `close` has counted them where it did not wait any longer.
            waited_for = self._held_lines > 0
            if waited_for:
                self._held_lines -= len(batch)
                self._held_bytes -= sum(map(len, batch))
            if not written and waited_for:
                self._untold += len(batch)
                self._dropped_total.inc(len(batch))
            untold = self._untold if written else 0
        if untold and self._tell_dropped is not None:
            line = self._tell_dropped(self._output.name, untold)
            if self._write_out([line.encode() + b"\n"]):
                with self._changed:
                    self._untold -= untold

    def _write_out(self, batch: list[bytes]) -> bool:
        """Returns whether the output has taken the lines."""
        while True:
            try:
                if self._output.write(batch):
                    return True
            except (OSError, ValueError):
                # Full, or gone. There is nowhere left to say so but the counter.
                return False
            # It may take them later; meanwhile others wait, up to the bounds.
            with self._changed:
                if self._closed_s is not None and time.monotonic() > self._closed_s:
                    return False
