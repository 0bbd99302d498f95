"""Calls a hop for a convoy: within its budget, retried where the rules allow it, accounted."""

from __future__ import annotations

from tailrace.gateway.budget import RetryBudget
from tailrace.gateway.hop_port import HopPort, HopRequest
from tailrace.gateway.ledger import HopSpending
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import Code, Reason, TailraceError
from tailrace.runtime.hop_answer import HopAnswer

# Another replica may do better. What all replicas share (store, model server) is not retried.
RETRIED_REASONS = (
    Reason.HOP_UNAVAILABLE,
    Reason.DRAINING,
    Reason.PIPELINE_VERSION_NOT_READY,
    Reason.UNSPECIFIED,
)


class HopCaller:
    """Calls one hop for all convoys of this process."""

    def __init__(self, hop: str, max_attempts: int) -> None:
        """Keeps the settings."""
        self._hop = hop
        self._max_attempts = max_attempts
        self._retries = RetryBudget()

    async def call(
        self,
        port: HopPort,
        request: HopRequest,
        budget: Deadline,
        floor_ns: int,
        spending: HopSpending,
    ) -> HopAnswer:
        """Returns the hop's answer and closes `spending`, whatever the outcome.

        Args:
            port: where the hop is.
            request: what to ask; asked again on a retry.
            budget: by when the hop must have answered.
            floor_ns: least time that a call is begun with.
            spending: line of the ledger to fill.

        Raises:
            TailraceError: the call failed for good.
        """
        spending.placement = port.placement
        self._retries.earn()
        try:
            while True:
                spending.attempts += 1
                try:
                    answer = await port.call(
                        request, max(budget.remaining_s(), 1e-6), spending.trace
                    )
                except TailraceError as error:
                    if not self._may_retry(error, spending.attempts, budget, floor_ns):
                        raise
                    continue
                spending.finish(Code.OK, answer.queue_ns, answer.work_ns)
                return answer
        except TailraceError as error:
            spending.fail(error)
            raise
        except Exception:  # not foreseen; the convoy's former has it told
            spending.finish(Code.INTERNAL)
            raise
        finally:
            if spending.end_ns == 0:
                spending.finish(Code.CANCELLED)

    def _may_retry(
        self, error: TailraceError, attempts: int, budget: Deadline, floor_ns: int
    ) -> bool:
        return (
            error.retryable
            and error.reason in RETRIED_REASONS
            and attempts < self._max_attempts
            and budget.remaining_ns() > floor_ns
            and self._retries.spend()
        )
