"""The garbage collector of a serving process."""

from __future__ import annotations

import gc

# Allocations, less deallocations, between collections of the youngest generation; collections of
# it between those of the next one; and so on.
THRESHOLDS = (20_000, 20, 50)


def spare_what_stays() -> None:
    """Takes all that is there out of the collector's sight, and lets it look less often.

    Call it once a process has everything that it keeps. Modules, compiled pipelines and descriptors
    are looked through by every full collection otherwise, and a convoy of requests alone makes a
    collection due.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
