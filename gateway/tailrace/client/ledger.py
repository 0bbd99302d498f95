"""Where the time of one prediction went, hop by hop."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from tailrace.v1 import ledger_pb2

_NS_PER_MS = 1_000_000
_HOPS: dict[int, str] = {
    number: name.removeprefix("HOP_").lower() for name, number in ledger_pb2.Hop.items()
}
_PLACEMENTS: dict[int, str] = {
    number: name.removeprefix("PLACEMENT_").lower() for name, number in ledger_pb2.Placement.items()
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What one hop spent. duration = queue + network + work.

    Attributes:
        hop: `ingest`, `features`, `inference` or `postprocess`.
        start_ms: when the gateway turned to the hop, in milliseconds after the convoy's departure.
        duration_ms: until it had the hop's answer, all attempts included.
        queue_ms: waiting inside the service.
        network_ms: everything outside the service's handler, earlier attempts included.
        work_ms: working inside the service.
        attempts: calls made; 0 where the hop was refused before it was called.
        budget_ms: time granted to the hop.
        placement: `remote` or `local`.
        critical: whether the hop lies on the critical path.
        code: gRPC status of the hop call.
    """

    hop: str
    start_ms: float
    duration_ms: float
    queue_ms: float
    network_ms: float
    work_ms: float
    attempts: int
    budget_ms: float
    placement: str
    critical: bool
    code: grpc.StatusCode


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the time of one prediction went.

    `convoy_wait_ms`, the durations of the critical entries and `unattributed_ms` make up
    `total_ms`.

    Attributes:
        entries: one per hop turned to, in order of start.
        total_ms: from receipt by the gateway until the reply was ready.
        unattributed_ms: the gateway's own share of that.
        deadline_ms: time granted to the request on receipt.
        convoy_wait_ms: from receipt by the gateway until the convoy departed.
        convoy_rows: requests that departed in the same convoy, this one included; 0 where the
            request never departed.
    """

    entries: tuple[LedgerEntry, ...]
    total_ms: float
    unattributed_ms: float
    deadline_ms: float
    convoy_wait_ms: float
    convoy_rows: int

    @classmethod
    def of_message(cls, message: ledger_pb2.Ledger) -> Ledger:
        """Returns the ledger that a server sent."""
        return cls(
            entries=tuple(_entry(entry) for entry in message.entries),
            total_ms=message.total_ns / _NS_PER_MS,
            unattributed_ms=message.unattributed_ns / _NS_PER_MS,
            deadline_ms=message.deadline_ns / _NS_PER_MS,
            convoy_wait_ms=message.convoy_wait_ns / _NS_PER_MS,
            convoy_rows=message.convoy_rows,
        )

    def entry(self, hop: str) -> LedgerEntry:
        """Returns what a hop spent. Raises KeyError if the gateway did not turn to it."""
        for entry in self.entries:
            if entry.hop == hop:
                return entry
        raise KeyError(hop)


def hop_name(number: int) -> str:
    """Returns the name of a hop; of one that this version does not know, its number."""
    return _HOPS.get(number) or f"hop_{number}"


def _entry(message: ledger_pb2.LedgerEntry) -> LedgerEntry:
    return LedgerEntry(
        hop=hop_name(message.hop),
        start_ms=message.start_ns / _NS_PER_MS,
        duration_ms=message.duration_ns / _NS_PER_MS,
        queue_ms=message.queue_ns / _NS_PER_MS,
        network_ms=message.network_ns / _NS_PER_MS,
        work_ms=message.work_ns / _NS_PER_MS,
        attempts=message.attempts,
        budget_ms=message.budget_ns / _NS_PER_MS,
        placement=_PLACEMENTS.get(message.placement) or f"placement_{message.placement}",
        critical=message.critical,
        code=_CODES.get(message.code, grpc.StatusCode.UNKNOWN),
    )
