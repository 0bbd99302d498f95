"""How many calls a Triton model should be given at once, by its configuration."""

from __future__ import annotations

from typing import Any


def calls_at_once(config: Any) -> int:
    """Returns the most calls to have in flight to one version of a model; 0 means any number.

    A model whose dynamic batcher has a queue policy (`max_queue_size`, a timeout, or
    priorities) is given one call less than it has instances. With such a policy the batcher
    does not fetch ahead, and it is not woken for a request that arrives while every instance
    is busy: that request lies there until the next one arrives, or for up to 500 ms. Seen on
    server 2.51: with one instance, up to one call in 200 took 500 ms longer even when they
    came one after the other; with an idle instance to spare, none in 20,000 did. Source: the
    scheduler's `SupportPrefetching` and `PayloadSlotAvailable` in triton-inference-server/core,
    `src/scheduler_utils.cc` and `src/rate_limiter.cc`.

    A request's own timeout counts only where it is shorter than the policy's
    `default_timeout_microseconds`, which therefore must not be 0.

    Args:
        config: an `inference.ModelConfig`.
    """
    if not has_queue_policy(config):
        return 0
    return max(1, _instances(config) - 1)


def may_stall(config: Any) -> bool:
    """Returns whether calls may be held up all the same, as no instance is left to spare."""
    return has_queue_policy(config) and _instances(config) < 2


def has_queue_policy(config: Any) -> bool:
    """Returns whether the dynamic batcher keeps a queue of which anything is asked."""
    if not config.HasField("dynamic_batching"):
        return False
    batching = config.dynamic_batching
    policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
    return bool(batching.priority_levels) or any(
        policy.max_queue_size
        or policy.default_timeout_microseconds
        or policy.allow_timeout_override
        for policy in policies
    )


def _instances(config: Any) -> int:
    return sum(max(1, group.count) for group in config.instance_group) or 1
