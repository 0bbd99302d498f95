"""The connection to the queue Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ResponseError

from tailrace.runtime.config import DispatcherSettings
from tailrace.submissions.queue_link import QueueLink
from tailrace.submissions.script import Script

_FAILS = Script("fails", "return redis.call('HGET', KEYS[1], 'field')", "0" * 40)


@pytest.fixture
async def link_to_disk(queue_settings: DispatcherSettings) -> AsyncIterator[QueueLink]:
    """A link that waits for the disk, also on a server too old for that."""
    assert queue_settings.queue_redis_url is not None
    link = QueueLink(
        queue_settings.queue_redis_url,
        cluster=queue_settings.queue_redis_cluster,
        client_name="test",
        durability="always",
        partitions=("partitions", 1),
    )
    await link.check()
    link._wanted = "waitaof"
    yield link
    await link.close()


async def test_a_script_that_fails_leaves_no_reply_for_the_next_command(
    link_to_disk: QueueLink,
) -> None:
    await link_to_disk.call("SET", "{tag}text", "content")
    for _ in range(2):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await link_to_disk.run(_FAILS, "{tag}text", durable=True)
        assert await link_to_disk.call("GET", "{tag}text") == b"content"
