"""Reads predictions: little while the load runs, and the rest many at a time."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from tailrace.loadtest.hops.answers import KINDS, reason_text
from tailrace.loadtest.hops.hop_tally import HopTally, count_kind
from tailrace.loadtest.hops.int_table import IntTable
from tailrace.loadtest.hops.ledger_fold import ENTRY, LEDGER, fold_ledgers
from tailrace.runtime.placement import HOPS
from tailrace.v1 import prediction_service_pb2

# Answers between two foldings: each takes a millisecond or two, in which no call can be made.
_FOLD_EVERY = 1024
_LIVE = prediction_service_pb2.QUALITY_LIVE


class PredictionReader:
    """A `ResponseReader` of methods that answer with predictions."""

    def __init__(self, method: str, timeout_s: float) -> None:
        """Begins with an empty tally.

        Args:
            method: `Predict`, `PredictBatch`, `PredictStream` or `GetPrediction`.
            timeout_s: deadline of answers whose ledger tells none; 0 for none.

        Raises:
            KeyError: it is none of these.
        """
        message, self._answers = KINDS[method]
        self._parse = message.FromString
        # The latency of a stream, or of asking for a submission, is not that of a prediction.
        self._timed = method in ("Predict", "PredictBatch")
        self._timeout_ns = int(timeout_s * 1e9)
        self._tally = HopTally()
        self._ledgers = IntTable(len(LEDGER), _FOLD_EVERY)
        self._entries = IntTable(len(ENTRY), _FOLD_EVERY * len(HOPS))

    @property
    def tally(self) -> HopTally:
        """What was found so far: the reader's own, which goes on."""
        self._fold()
        return self._tally

    def take(self) -> HopTally:
        """Returns what was found since the last time, and begins anew: see `ResponseReader`."""
        taken, self._tally = self.tally, HopTally()
        return taken

    def read(self, payload: bytes, latency_ns: int) -> None:
        """Reads one serialised answer; one that is no such message counts as unreadable.

        Args:
            payload: the message.
            latency_ns: of its call, from its intended instant until this message, in nanoseconds.
        """
        try:
            message = self._parse(payload)
        except DecodeError:
            self._tally.unreadable += 1
            return
        if not self._timed:
            latency_ns = -1
        for response in self._answers(message, self._tally):
            self._take(response, latency_ns)
        if self._ledgers.rows >= _FOLD_EVERY:
            self._fold()

    def _take(self, response: prediction_service_pb2.PredictResponse, latency_ns: int) -> None:
        ledger, place, quality = response.ledger, self._ledgers.rows, response.quality
        table = self._ledgers
        table.pack_into(
            table.memory,
            table.reserve(1),
            latency_ns,
            ledger.total_ns,
            ledger.convoy_wait_ns,
            ledger.unattributed_ns,
            ledger.deadline_ns or self._timeout_ns,
            ledger.convoy_rows,
            quality,
        )
        entries, table = ledger.entries, self._entries
        memory, pack_into, start = table.memory, table.pack_into, table.reserve(len(entries))
        for entry in entries:
            pack_into(
                memory,
                start,
                place,
                entry.hop,
                entry.duration_ns,
                entry.queue_ns,
                entry.network_ns,
                entry.work_ns,
                entry.critical,
                entry.attempts,
                entry.code,
            )
            start += table.row_bytes
        if quality != _LIVE:
            for reason in response.quality_reasons:
                count_kind(self._tally.reasons, reason_text(reason))

    def _fold(self) -> None:
        if self._ledgers.rows:
            fold_ledgers(self._tally, self._ledgers.columns(), self._entries.columns())
            self._ledgers.clear()
            self._entries.clear()
