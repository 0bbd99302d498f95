"""Registered callbacks, on one server and on a cluster."""

from __future__ import annotations

import dataclasses

import pytest

from tailrace.runtime.errors import Aborted, AlreadyExists, NotFound
from tailrace.submissions.open_queue import Queue
from tests.support.submissions import callback_record


async def test_a_callback_is_kept_as_it_was_created(queue: Queue) -> None:
    await queue.callbacks.create(callback_record())
    kept = await queue.callbacks.find("acme", "orders")
    assert kept is not None
    assert dataclasses.replace(kept, revision=0) == callback_record()
    assert await queue.callbacks.all() == {"acme/orders": kept}
    assert await queue.callbacks.find("acme", "others") is None


async def test_a_name_can_be_taken_once_by_each_tenant(queue: Queue) -> None:
    await queue.callbacks.create(callback_record())
    await queue.callbacks.create(callback_record(tenant="bolt"))
    with pytest.raises(AlreadyExists):
        await queue.callbacks.create(callback_record())


async def test_only_the_newest_revision_can_be_replaced(queue: Queue) -> None:
    await queue.callbacks.create(callback_record())
    kept = await queue.callbacks.find("acme", "orders")
    assert kept is not None
    changed = await queue.callbacks.replace(dataclasses.replace(kept, target="grpc://h:1"))
    assert changed.revision > kept.revision
    assert await queue.callbacks.find("acme", "orders") == changed
    with pytest.raises(Aborted):
        await queue.callbacks.replace(kept)
    with pytest.raises(NotFound):
        await queue.callbacks.replace(callback_record("others"))


async def test_every_change_makes_the_revision_grow(queue: Queue) -> None:
    revisions = [await queue.callbacks.revision()]
    await queue.callbacks.create(callback_record())
    revisions.append(await queue.callbacks.revision())
    await queue.callbacks.delete("acme", "orders")
    revisions.append(await queue.callbacks.revision())
    await queue.callbacks.create(callback_record())
    revisions.append(await queue.callbacks.revision())
    assert revisions == sorted(set(revisions))
    assert revisions[0] == 0


async def test_a_callback_that_is_not_there_cannot_be_deleted(queue: Queue) -> None:
    with pytest.raises(NotFound):
        await queue.callbacks.delete("acme", "orders")


async def test_a_name_with_a_slash_is_not_that_of_another_tenant(queue: Queue) -> None:
    await queue.callbacks.create(callback_record("orders", tenant="acme/eu"))
    assert await queue.callbacks.find("acme", "eu/orders") is None
    with pytest.raises(NotFound):
        await queue.callbacks.delete("acme", "eu/orders")
    assert await queue.callbacks.find("acme/eu", "orders") is not None
