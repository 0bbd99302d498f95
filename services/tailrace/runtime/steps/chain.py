"""Steps run one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.runtime.steps.offload import Abandoned, never
from tailrace.runtime.steps.step_table import Step, StepTable


def run_steps(steps: Sequence[Step], table: StepTable, abandoned: Abandoned = never) -> bool:
    """Returns whether all steps ran; they stop when no row is left or nobody waits any longer.

    Call it under `np.errstate(all="ignore")`: results are checked for NaN and infinity where it
    matters.
    """
    for step in steps:
        if not table.rows or abandoned():
            return False
        step.run(table)
    return table.rows > 0
