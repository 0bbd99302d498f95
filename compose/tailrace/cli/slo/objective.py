"""One objective: what counts as bad, out of how many, and which share may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tailrace.cli.grafana.promql import CALLERS
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.fault_codes import CALLERS_FAULTS
from tailrace.runtime.histogram import bound_text
from tailrace.runtime.pipeline.slo_section import SloSection, Within

FEATURES_HOP = "features"


@dataclass(frozen=True)
class Objective:
    """An objective of a pipeline.

    Attributes:
        pipeline: whose it is.
        name: unique within the pipeline, such as `latency-p99` or `features-latency-p99`.
        kind: latency, availability, degraded, fresh or delivery.
        percent: share of events that are to be good, in percent.
        hop: the hop that it is about; empty if it is about none alone.
        sentence: what it promises.
        bad: PromQL for bad events a second, with `{window}` for the range.
        all: PromQL for all events a second, likewise.
        unmeasured: PromQL for events a second of which it is not known whether they are bad, as
            the process that counts them has no bucket of the bound; empty if there can be none.
        events: what is counted, in the plural.
        window_days: what its error budget is for.
        min_bad_events: fewest bad events in an alert's long window before it may fire.
    """

    pipeline: str
    name: str
    kind: str
    percent: Decimal
    hop: str
    sentence: str
    bad: str
    all: str
    unmeasured: str
    events: str
    window_days: int
    min_bad_events: int

    @property
    def budget(self) -> Decimal:
        """Share of events that may be bad, 0 to 1."""
        return (100 - self.percent) / 100

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all that is recorded of it."""
        labels = {"pipeline": self.pipeline, "objective": self.name, "kind": self.kind}
        return labels | ({"hop": self.hop} if self.hop else {})

    @property
    def where(self) -> str:
        """Label matchers that choose what is recorded of it."""
        return f'pipeline="{self.pipeline}",objective="{self.name}"'

    def bad_rate(self, window: str) -> str:
        """Returns PromQL for bad events a second over a window such as `5m`."""
        return self.bad.replace("{window}", window)

    def all_rate(self, window: str) -> str:
        """Returns PromQL for all events a second over a window such as `5m`."""
        return self.all.replace("{window}", window)


def objectives(pipeline: str, slo: SloSection) -> list[Objective]:
    """Returns the objectives of a pipeline, in the order of its file."""
    return [
        Objective(
            pipeline=pipeline,
            window_days=slo.window_days,
            min_bad_events=slo.min_bad_events,
            **parts,  # type: ignore[arg-type]  # names and types are those below
        )
        for parts in _parts(pipeline, slo)
    ]


def _parts(pipeline: str, slo: SloSection) -> Iterator[dict[str, object]]:
    where = f'pipeline="{pipeline}"'
    callers = f"{CALLERS},{where}"
    for objective in slo.latency:
        hop = objective.hop or ""
        if hop:
            yield _within(
                objective,
                name=f"{hop}-latency",
                kind="latency",
                hop=hop,
                histogram=names.HOP_SECONDS,
                where=f'{callers},hop="{hop}"',
                done=f"passages of {hop} take",
                events=f"passages of {hop}",
            )
        else:
            yield _within(
                objective,
                name="latency",
                kind="latency",
                hop="",
                histogram=names.PREDICTION_SECONDS,
                where=f'{callers},outcome="ok"',
                done="answers come within",
                events="answers",
            )
    if slo.availability_percent is not None:
        own = "|".join(CALLERS_FAULTS)
        valid = _rate(names.PREDICTIONS_TOTAL, f'{callers},outcome!~"{own}"')
        failed = _rate(names.PREDICTIONS_TOTAL, f'{callers},outcome!~"OK|{own}"')
        yield _share(
            "availability",
            _decimal(slo.availability_percent),
            f"{number(slo.availability_percent)} % of valid requests are answered",
            (failed, valid),
            events="valid requests",
        )
    if slo.degraded_max_percent is not None:
        answers = _rate(names.PREDICTIONS_TOTAL, f'{callers},outcome="OK"')
        yield _share(
            "degraded",
            100 - _decimal(slo.degraded_max_percent),
            f"at most {number(slo.degraded_max_percent)} % of answers are degraded",
            (_rate(names.DEGRADED_TOTAL, callers), answers),
            events="answers",
        )
    if slo.fresh_min_percent is not None:
        rows = _rate(names.FEATURE_ROWS_TOTAL, where)
        yield _share(
            "fresh",
            _decimal(slo.fresh_min_percent),
            f"{number(slo.fresh_min_percent)} % of feature rows are found, and fresh",
            (_rate(names.FEATURE_ROWS_TOTAL, f'{where},state!="fresh"'), rows),
            events="feature rows",
            hop=FEATURES_HOP,
        )
    for delivery in slo.delivery:
        yield _within(
            delivery,
            name="delivery",
            kind="delivery",
            hop="",
            histogram=names.COURIER_DELIVERY_SECONDS,
            where=where,
            done="results are delivered, once final, within",
            events="deliveries",
        )


def _within(
    objective: Within,
    *,
    name: str,
    kind: str,
    hop: str,
    histogram: str,
    where: str,
    done: str,
    events: str,
) -> dict[str, object]:
    # The text of the bound is the exposition's: 1.0 and not 1, or no series matches.
    bound = bound_text(objective.within_s)
    count = f"{histogram}_count{{{where}}}"
    bucket = f'{histogram}_bucket{{{where},le="{bound}"}}'
    every, good = f"rate({count}[{{window}}])", f"rate({bucket}[{{window}}])"
    # While a changed objective is rolled out, some processes have its bound as a bucket, others do
    # not, or have it for a part of the window: then there are fewer samples of it than of the
    # count. What these processes count is neither good nor bad.
    samples, of_bound = (
        f"count_over_time({count}[{{window}}])",
        f"count_over_time({bucket}[{{window}}])",
    )
    known = f"({samples} == ignoring(le) {of_bound})"
    within = f"at most {number(objective.within_ms)}" if hop else number(objective.within_ms)
    return {
        "name": f"{name}-p{number(objective.percentile)}",
        "kind": kind,
        "percent": _decimal(objective.percentile),
        "hop": hop,
        "sentence": f"{number(objective.percentile)} % of {done} {within} ms",
        # Prometheus extrapolates each series for itself, so the difference may fall below 0.
        "bad": f"clamp_min(sum({every} - ignoring(le) {good} and {known}), 0)",
        "all": f"sum({every} and {known})",
        "unmeasured": f"sum({every} unless ignoring(le) {bucket})",
        "events": events,
    }


def _share(
    kind: str,
    percent: Decimal,
    sentence: str,
    counts: tuple[str, str],
    *,
    events: str,
    hop: str = "",
) -> dict[str, object]:
    bad, every = counts
    return {
        "name": kind,
        "kind": kind,
        "percent": percent,
        "hop": hop,
        "sentence": sentence,
        # A series of errors is born with the first of them: until then there are 0.
        "bad": f"({bad} or 0 * {every})",
        "all": every,
        "unmeasured": "",
        "events": events,
    }


def number(value: float | Decimal) -> str:
    """Returns a number in as many digits as it takes, and none of an exponent: 99.9, 80, 0.001."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rate(metric: str, where: str) -> str:
    return f"sum(rate({metric}{{{where}}}[{{window}}]))"


def _decimal(percent: float) -> Decimal:
    # The shortest text of a float is what the file says; its exact value is not.
    return Decimal(number(percent))
