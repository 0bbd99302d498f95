"""Ids, partitions, digests and page tokens."""

from __future__ import annotations

import dataclasses
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.runtime.errors import InvalidField
from tailrace.submissions.ids import new_prediction_id, partition_of_id
from tailrace.submissions.keys import idempotency_digest
from tailrace.submissions.page_token import Page, read_page
from tailrace.submissions.partitions import partition_of
from tailrace.submissions.records import CallbackChoice
from tailrace.submissions.submission_meta import pack_meta, unpack_meta
from tests.support.submissions import new_submission


def test_ids_name_their_partition_and_sort_by_when_they_were_made() -> None:
    ids = [new_prediction_id(7) for _ in range(10_000)]
    assert len(set(ids)) == 10_000
    assert ids == sorted(ids)
    assert {partition_of_id(each) for each in ids} == {7}
    assert {len(each) for each in ids} == {30}
    assert {character for each in ids for character in each[4:]} <= set(
        string.digits + string.ascii_uppercase
    ) - set("ILOU")


@pytest.mark.parametrize(
    "text",
    ["", "007", "7-01JD8Z6V3N8B4Q2W5X7Y9K1M3P", "007-01JD8Z6V3N8B4Q2W5X7Y9K1M3", "007-é" * 6]
    + ["007-81JD8Z6V3N8B4Q2W5X7Y9K1M3P", "007-01JD8Z6V3N8B4Q2W5X7Y9K1M3P\n", "٠٠٧-" + "0" * 26],
)
def test_what_is_no_id_has_no_partition(text: str) -> None:
    assert partition_of_id(text) is None


def test_a_submission_without_keys_has_no_partition_of_its_own() -> None:
    assert partition_of("acme", "", "", 8) is None


def test_partitions_stay_the_same_in_every_version() -> None:
    found = [partition_of("acme", "", f"key {number}", 8) for number in range(10)]
    assert found == KNOWN_PARTITIONS


KNOWN_PARTITIONS = [7, 6, 4, 2, 0, 5, 7, 4, 0, 1]


def test_what_is_ordered_shares_a_partition_whatever_its_idempotency_key() -> None:
    found = {partition_of("acme", "plane 7", str(number), 256) for number in range(50)}
    assert len(found) == 1


@given(st.text(), st.text(), st.text(), st.text())
def test_tenant_and_key_cannot_be_shifted_into_each_other(
    tenant: str, key: str, other_tenant: str, other_key: str
) -> None:
    same = (tenant, key) == (other_tenant, other_key)
    if key and other_key:
        found = idempotency_digest(tenant, key) == idempotency_digest(other_tenant, other_key)
        assert found == same


@given(st.text(max_size=50), st.text(max_size=50), st.binary(max_size=300), st.integers(0, 4))
def test_what_is_packed_is_unpacked(text: str, other: str, inline: bytes, priority: int) -> None:
    submission = new_submission(
        tenant=text,
        pipeline=other,
        request_id=text + other,
        ordering_key=other,
        priority=priority,
        not_after_ms=2**52,
        callback=CallbackChoice(key=text, inline=inline, ordered=True),
        traceparent=other,
        tracestate=text,
    )
    times = (1_700_000_000_000).to_bytes(8) + (1_800_000_000_000).to_bytes(8)
    found = unpack_meta(times + pack_meta(submission))
    assert (found.created_ms, found.priority) == (1_700_000_000_000, priority or 2)
    assert (found.tenant, found.pipeline, found.request_id) == (text, other, text + other)
    assert (found.ordering_key, found.callback_key, found.inline) == (other, text, inline)
    assert (found.traceparent, found.tracestate) == (other, text)
    assert found.not_after_ms == 2**52


def test_what_cannot_be_packed_is_refused() -> None:
    submission = new_submission()
    with pytest.raises(ValueError, match="body_digest"):
        pack_meta(dataclasses.replace(submission, body_digest=b"short"))
    with pytest.raises(ValueError, match="65,535"):
        pack_meta(dataclasses.replace(submission, tracestate="x" * 65_536))


@given(st.integers(0, 255), st.integers(0, 2**50))
def test_a_page_token_leads_back_to_its_page(partition: int, score: int) -> None:
    page = Page(partition, str(score), new_prediction_id(partition))
    assert read_page(page.token) == page
    assert read_page(Page(partition).token) == Page(partition)


@pytest.mark.parametrize("token", ["x", "====", "AAAA", "é", "MSAyIDMgNA=="])
def test_what_is_no_page_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidField):
        read_page(token)
