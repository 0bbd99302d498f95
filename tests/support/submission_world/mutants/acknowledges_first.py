"""The command line with a queue that acknowledges what is not written yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tailrace.cli.entry import main
from tailrace.runtime.errors import TailraceError
from tailrace.submissions.records import NewSubmission, State, Submitted
from tailrace.submissions.store_runs import RunStore

# In a short run, few processes die within the time that a write takes.
_WRITES_LATER_S = 0.1

_submit = RunStore.submit
_writes: set[asyncio.Task[None]] = set()


async def _submit_later(
    store: RunStore, partition: int, submissions: Sequence[NewSubmission]
) -> list[Submitted | TailraceError]:
    async def write() -> None:
        await asyncio.sleep(_WRITES_LATER_S)
        await _submit(store, partition, submissions)

    task = asyncio.create_task(write())
    _writes.add(task)
    task.add_done_callback(_writes.discard)
    return [
        Submitted(
            prediction_id=new.prediction_id,
            state=State.QUEUED,
            already_submitted=False,
            created_ms=int(time.time() * 1000),
        )
        for new in submissions
    ]


if __name__ == "__main__":
    setattr(RunStore, "submit", _submit_later)  # noqa: B010
    main()
