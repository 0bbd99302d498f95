"""A pipeline's own `slo`, as objectives of a load test."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.cli.slo.objective import number
from tailrace.runtime.pipeline.slo_section import SloSection, Within

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class PipelineSlo:
    """What callers of a pipeline may count on, as far as a load test can tell.

    Attributes:
        objectives: what `--slo` takes, such as `p99<100ms`.
        answers: those of them that need no look into answers; what submitting is held against.
        p99_ns: latency that 99 % keep, in nanoseconds: that of the whole's percentile nearest to
            99 from above, or the highest that there is; 0 if nothing is promised.
        errors: largest share of failed calls, 0 to 1; 0 if nothing is promised.
        delivery: how soon results have to be delivered, once final.
        untold: objectives that calls do not tell, in words.
    """

    objectives: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    p99_ns: int = 0
    errors: float = 0.0
    delivery: tuple[Within, ...] = ()
    untold: tuple[str, ...] = ()


def pipeline_slo(slo: SloSection | None) -> PipelineSlo | None:
    """Returns a pipeline's objectives; None where it promises nothing."""
    if slo is None or slo.empty:
        return None
    texts = [
        f"{objective.hop + '.' if objective.hop else ''}p{number(objective.percentile)}"
        f"<={number(objective.within_ms)}ms"
        for objective in slo.latency
    ]
    answers: list[str] = []
    errors = 0.0
    if slo.availability_percent is not None:
        share = number(round(100 - slo.availability_percent, 9))
        errors = (100 - slo.availability_percent) / 100
        answers.append(f"errors<={share}%")
    if slo.degraded_max_percent is not None:
        texts.append(f"degraded<={number(slo.degraded_max_percent)}%")
    untold: list[str] = []
    if slo.fresh_min_percent is not None:
        untold.append(
            f"{number(slo.fresh_min_percent)} % of feature rows found and fresh: answers do not "
            "say it, tailrace slo report does"
        )
    whole = sorted(
        (objective.percentile, objective.within_ms)
        for objective in slo.latency
        if objective.hop is None
    )
    bounds = [within for percentile, within in whole if percentile >= 99]
    bounds = bounds[:1] or [within for _, within in whole[-1:]]
    return PipelineSlo(
        objectives=(*texts, *answers),
        answers=tuple(answers),
        p99_ns=round(bounds[0] * _NS_PER_MS) if bounds else 0,
        errors=errors,
        delivery=tuple(slo.delivery),
        untold=tuple(untold),
    )
