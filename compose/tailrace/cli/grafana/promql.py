"""PromQL that dashboards use over and over.

`where` is what stands between the braces of a selector, such as `pipeline=~"$pipeline"`; `by`
names the labels that are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.fault_codes import CALLERS_FAULTS

INTERVAL = "$__rate_interval"
"""At least four scrapes, and no less than a point of the graph stands for."""

CALLERS = 'service="gateway"'
"""Label matcher of callers' requests: dispatchers count the runs of submissions, too."""

CALLERS_OWN = "|".join(CALLERS_FAULTS)
"""Outcomes that are the caller's doing; all others but `OK` are the service's errors."""

_Bounds = tuple[float, ...]
# Histograms whose series have bounds of their own: by which labels, and which all of them have.
_OWN_BOUNDS: Mapping[str, tuple[tuple[str, ...], _Bounds]] = {
    names.PREDICTION_SECONDS: (("pipeline",), names.LATENCY_BUCKETS_S),
    names.HOP_SECONDS: (("pipeline", "hop"), names.LATENCY_BUCKETS_S),
    names.COURIER_DELIVERY_SECONDS: (("pipeline",), names.DELIVERY_BUCKETS_S),
}


def selector(metric: str, where: str = "") -> str:
    """Returns a metric with its label matchers."""
    return f"{metric}{{{where}}}" if where else metric


def total(expression: str, by: Sequence[str] = ()) -> str:
    """Returns the sum of an expression by labels; over everything, if by none."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def rate(
    metric: str, where: str = "", by: Sequence[str] = (), over: str = INTERVAL, ago: str = ""
) -> str:
    """Returns how much a counter grows each second, summed by labels.

    Args:
        metric: a counter.
        where: label matchers.
        by: labels to keep.
        over: window of the rate.
        ago: how far back to look, such as `1h`; now, if empty.
    """
    offset = f" offset {ago}" if ago else ""
    return total(f"rate({selector(metric, where)}[{over}]{offset})", by)


def share(part: str, whole: str, on: str = "") -> str:
    """Returns one expression by another; 0 to 1 where it is a share.

    Args:
        part: the parts.
        whole: with the same labels as the parts; where it is 0 there is no share.
        on: the only label of the whole, where the parts have more.
    """
    joined = f"on ({on}) group_left () " if on else ""
    return f"{part} / {joined}({whole} > 0)"


def mean(
    histogram: str, where: str = "", by: Sequence[str] = (), over: str = INTERVAL, ago: str = ""
) -> str:
    """Returns the mean of what a histogram observed, in the histogram's unit."""
    return share(
        rate(f"{histogram}_sum", where, by, over, ago),
        rate(f"{histogram}_count", where, by, over, ago),
    )


def quantile(
    level: float, histogram: str, where: str = "", by: Sequence[str] = (), over: str = INTERVAL
) -> str:
    """Returns a quantile of what a histogram observed, interpolated within its bucket.

    Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    counted = rate(
        f"{histogram}_bucket", _in_shared_buckets(histogram, where, by), ["le", *by], over
    )
    return f"histogram_quantile({level}, {counted})"


def buckets(histogram: str, where: str = "") -> str:
    """Returns how many observations fell into each bucket, for a heatmap."""
    counted = selector(f"{histogram}_bucket", _in_shared_buckets(histogram, where, ()))
    return total(f"increase({counted}[{INTERVAL}])", ["le"])


def _in_shared_buckets(histogram: str, where: str, by: Sequence[str]) -> str:
    """Returns matchers that leave only buckets which all series have that are summed.

    Objectives are bounds of their own pipeline's and hop's series. A bucket that some lack would
    count too little in a sum.
    """
    labels, bounds = _OWN_BOUNDS.get(histogram, ((), ()))
    if all(label in by or f'{label}="' in where for label in labels):
        return where
    # As `1` and as `1.0`, which depends on the format and the version of the scrape.
    shared = "|".join(
        f"{bound:g}([.]0)?" if bound == int(bound) else f"{bound:g}" for bound in bounds
    )
    return ", ".join(filter(None, (where, f'le=~"{shared}|[+]Inf"')))


def or_zero(expression: str) -> str:
    """Returns an expression without labels, 0 where it has no data because nothing happened."""
    return f"{expression} or vector(0)"
