import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tailrace.gateway.ledger import LedgerBook
from tailrace.v1 import ledger_pb2


def _spend(
    book: Any, hop: Any, start_ns: Any, end_ns: Any, group: Any, queue_ns: Any = 0, work_ns: Any = 0
) -> Any:
    spending = book.open(hop, start_ns, group)
    spending.end_ns, spending.queue_ns, spending.work_ns = end_ns, queue_ns, work_ns
    return spending


def test_of_hops_beside_each_other_the_last_to_end_is_critical() -> None:
    book = LedgerBook()
    _spend(book, "ingest", 100, 300, group=0)
    _spend(book, "features", 100, 500, group=0)
    _spend(book, "inference", 520, 900, group=2)
    entries = book.entries(departed_ns=90)
    assert [entry.critical for entry in entries] == [False, True, True]
    assert [entry.start_ns for entry in entries] == [10, 10, 430]
    assert book.critical_ns() == 400 + 380


def test_the_parts_of_a_hop_make_up_its_duration() -> None:
    book = LedgerBook()
    _spend(book, "ingest", 0, 100, group=0, queue_ns=10, work_ns=60)
    (entry,) = book.entries(departed_ns=0)
    assert (entry.queue_ns, entry.network_ns, entry.work_ns) == (10, 30, 60)


@given(
    queue_ns=st.integers(0, 10**12), work_ns=st.integers(0, 10**12), duration=st.integers(0, 10**9)
)
def test_no_claim_of_a_service_makes_a_part_negative(
    queue_ns: Any, work_ns: Any, duration: Any
) -> None:
    book = LedgerBook()
    _spend(book, "ingest", 0, duration, group=0, queue_ns=queue_ns, work_ns=work_ns)
    (entry,) = book.entries(departed_ns=0)
    parts = (entry.queue_ns, entry.network_ns, entry.work_ns)
    assert min(parts) >= 0
    assert sum(parts) == entry.duration_ns == duration


def test_finishing_takes_the_time_and_what_the_service_said() -> None:
    book = LedgerBook()
    before_ns = time.monotonic_ns()
    spending = book.open("postprocess", before_ns, group=3)
    spending.finish(0, queue_ns=1, work_ns=2)
    assert spending.end_ns >= before_ns
    (entry,) = book.entries(departed_ns=before_ns)
    assert entry.hop == ledger_pb2.HOP_POSTPROCESS
    assert (entry.queue_ns, entry.work_ns) == (1, 2)
