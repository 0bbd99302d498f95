"""The ratios of `make bench-features`, and what they are to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tailrace.loadtest.bench.ratios import Bar
from tailrace.loadtest.bench.spread import Spread

# Two slices of the same lookups differ by as much.
_EQUAL = 1.05

BARS = {
    "feast_p50_over_ours_1": Bar(4, True),
    "feast_p99_over_ours_1": Bar(4, True),
    "feast_p50_over_ours_100": Bar(12, True),
    "feast_p50_over_ours_100_grpc": Bar(6, True),
    "ours_over_mget_100": Bar(1.3, False),
    "large_over_small_1": Bar(_EQUAL, False),
    "large_over_small_100": Bar(_EQUAL, False),
    "events_per_s": Bar(10_000, True),
    "lookup_growth_paced_1": Bar(1.2, False),
    "lookup_growth_paced_100": Bar(1.2, False),
    "freshness_p99_ms": Bar(50, False),
}
"""By name of the figure; others are information."""

FEAST = ("refs", "precomputed")
"""The ways that Feast is asked."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a slice is of.

    Attributes:
        contender: who looks up.
        rows: rows of each lookup.
        events: what else goes on: `none`; or, side by side, nothing (`calm`), events `paced`, or as
            many as can be (`peak`).
    """

    contender: str
    rows: int
    events: str = "none"


@dataclass(frozen=True, slots=True)
class Latencies:
    """One slice of lookups, one after the other.

    Attributes:
        p50_us: median, µs.
        p99_us: 99th percentile, µs.
        calls: lookups.
        wrong: rows that were not as loaded.
        until_dict_p50_us: of Feast, the median until its answer is made a dictionary, µs; else 0.
    """

    p50_us: float
    p99_us: float
    calls: int
    wrong: int
    until_dict_p50_us: float = 0.0


@dataclass(slots=True)
class Figures:
    """What was measured, repeat by repeat.

    Attributes:
        lookups: slices of each subject.
        events_per_s: events acknowledged per second, nobody looking anything up.
        fresh_ms: by what else went on, p50 and p99 of each repeat from an event's sending until
            lookups see it.
    """

    lookups: dict[Subject, list[Latencies]] = field(default_factory=dict)
    events_per_s: list[float] = field(default_factory=list)
    fresh_ms: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def ratios_of(figures: Figures) -> dict[str, Spread]:
    """Returns the ratios by name, each of slices of one repeat; those that were measured.

    Of Feast counts, in each repeat and by each percentile, the way that was faster then.
    """
    lookups = figures.lookups
    ratios: dict[str, Spread] = {}
    for rows in (1, 100):
        ours, grpc = Subject("ours", rows), Subject("grpc", rows)
        for percentile in ("p50_us", "p99_us"):
            feast = _fastest([lookups.get(Subject(way, rows)) for way in FEAST], percentile)
            name = f"feast_{percentile.removesuffix('_us')}_over_ours_{rows}"
            _add(ratios, name, feast, _column(lookups, ours, percentile))
            _add(ratios, f"{name}_grpc", feast, _column(lookups, grpc, percentile))
        usable = _fastest([lookups.get(Subject(way, rows)) for way in FEAST], "until_dict_p50_us")
        _add(ratios, f"feast_to_dict_p50_over_ours_{rows}", usable, _column(lookups, ours))
        for way in FEAST:
            slow = _column(lookups, Subject(way, rows), "p50_us")
            name = f"feast_{way}_p50_over_ours_{rows}"
            _add(ratios, name, slow, _column(lookups, ours, "p50_us"))
        pairs = {
            f"ours_over_mget_{rows}": (ours, Subject("mget", rows)),
            f"grpc_over_ours_{rows}": (grpc, ours),
            f"large_over_small_{rows}": (ours, Subject("small", rows)),
        }
        for contender, word in (("small", ""), ("windowed", "windowed_")):
            for events in ("paced", "peak"):
                busy, calm = (Subject(contender, rows, each) for each in (events, "calm"))
                pairs[f"{word}lookup_growth_{events}_{rows}"] = (busy, calm)
        for name, (above, below) in pairs.items():
            _add(ratios, name, _column(lookups, above), _column(lookups, below))
    if figures.events_per_s:
        ratios["events_per_s"] = Spread.of(figures.events_per_s)
    for events, found in figures.fresh_ms.items():
        word = "" if events == "paced" else f"_{events}"
        ratios[f"freshness{word}_p50_ms"] = Spread.of([p50 for p50, _ in found])
        ratios[f"freshness{word}_p99_ms"] = Spread.of([p99 for _, p99 in found])
    return ratios


def targets_of(ratios: Mapping[str, Spread]) -> dict[str, bool]:
    """Returns which of the figures with a bar reach it."""
    return {name: bar.met_by(ratios[name].median) for name, bar in BARS.items() if name in ratios}


def _column(
    lookups: Mapping[Subject, Sequence[Latencies]], subject: Subject, percentile: str = "p50_us"
) -> list[float]:
    return [getattr(one, percentile) for one in lookups.get(subject, ())]


def _fastest(ways: Sequence[Sequence[Latencies] | None], percentile: str) -> list[float]:
    columns = [[getattr(one, percentile) for one in way] for way in ways if way]
    return [min(each) for each in zip(*columns, strict=True)]


def _add(
    ratios: dict[str, Spread], name: str, above: Sequence[float], below: Sequence[float]
) -> None:
    if above and below:
        pairs = zip(above, below, strict=True)
        ratios[name] = Spread.of([one / other for one, other in pairs])
