import asyncio
import time

from prometheus_client import REGISTRY

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.loop_probe import probe_loop


def observed(bound: str) -> float:
    return REGISTRY.get_sample_value(f"{names.EVENT_LOOP_LAG_SECONDS}_bucket", {"le": bound}) or 0


async def test_a_block_is_noticed_in_full_and_as_often_as_timers_came_due() -> None:
    probe = asyncio.create_task(probe_loop(0.02))
    before = observed("+Inf"), observed("0.1"), observed("0.25")
    await asyncio.sleep(0.05)
    time.sleep(0.3)  # noqa: ASYNC251  # what the probe is to notice
    await asyncio.sleep(0.03)
    probe.cancel()
    await asyncio.wait([probe])
    every, within_100_ms, within_250_ms = (
        after - then
        for after, then in zip(
            (observed("+Inf"), observed("0.1"), observed("0.25")), before, strict=True
        )
    )
    # Of 15 timers that came due meanwhile, nine or ten waited for more than 100 ms, and one or two
    # for more than 250 ms.
    assert every >= 15
    assert every - within_100_ms >= 8
    assert every - within_250_ms >= 1
