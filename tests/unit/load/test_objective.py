from __future__ import annotations

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.verdict.objective import Unit, parse_objective


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p99<20ms", ("", "p99", "<", 20e6, Unit.NS)),
        (" P99.9 <= 1.5s ", ("", "p99.9", "<=", 1.5e9, Unit.NS)),
        ("mean<5us", ("", "mean", "<", 5e3, Unit.NS)),
        ("max < 1m", ("", "max", "<", 60e9, Unit.NS)),
        ("min>10ns", ("", "min", ">", 10.0, Unit.NS)),
        ("uncorrected.p50<3ms", ("uncorrected", "p50", "<", 3e6, Unit.NS)),
        ("lag.p99<1ms", ("lag", "p99", "<", 1e6, Unit.NS)),
        ("features.p99.99<5ms", ("features", "p99.99", "<", 5e6, Unit.NS)),
        ("inference.queue.mean<1ms", ("inference.queue", "mean", "<", 1e6, Unit.NS)),
        ("errors<0.1%", ("", "errors", "<", 0.001, Unit.SHARE)),
        ("errors == 0", ("", "errors", "==", 0.0, Unit.COUNT)),
        ("errors<2/s", ("", "errors", "<", 2.0, Unit.PER_SECOND)),
        ("ok>=100", ("", "ok", ">=", 100.0, Unit.COUNT)),
        ("rps>=500", ("", "rps", ">=", 500.0, Unit.PER_SECOND)),
        ("rps>=.5/s", ("", "rps", ">=", 0.5, Unit.PER_SECOND)),
        ("goodput>=99%", ("", "goodput", ">=", 0.99, Unit.SHARE)),
        ("live>=95 %", ("", "live", ">=", 0.95, Unit.SHARE)),
        ("stale_features<5%", ("", "stale_features", "<", 0.05, Unit.SHARE)),
    ],
)
def test_objectives_are_read(text: str, expected: tuple[str, str, str, float, Unit]) -> None:
    found = parse_objective(text)
    assert found.text == text.strip()
    of, figure, comparison, bound, unit = expected
    assert (found.of, found.figure, found.comparison) == (of, figure, comparison)
    assert found.bound == pytest.approx(bound)
    assert found.unit is unit


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("", "is no comparison", "such as p99<20ms"),
        ("p99", "is no comparison", "such as p99<20ms"),
        ("p99<<20ms", "has the comparison '<<'", "there are <, <=, >, >=, =="),
        ("p99!=20ms", "has the comparison '!='", "there are <, <=, >, >=, =="),
        ("p99<20", "has '20' for a length of time", "the units ns, us, ms, s, m"),
        ("p99<", "has '' for a length of time", "such as 20ms"),
        ("p99<20ms,errors<1%", "has '20ms,errors<1%' for a length of time", "such as 20ms"),
        ("p101<20ms", "has the percentile 101", "the highest is p100"),
        ("latency<20ms", "has an unknown figure 'latency'", "p99 (any percentile), mean"),
        ("model.p99<20ms", "has latencies of an unknown 'model'", "features"),
        ("errors<abc", "has 'abc' for a number", "errors<1%"),
        ("errors<0.01", "counts in whole numbers, and 0.01 is none", "write 1%"),
        ("rps>=50%", "has a share for a rate", "rps>=500"),
        ("rps>=20ms", "has '20ms' for a number", "rps>=500"),
        ("errors.p99<1ms", "has latencies of an unknown 'errors'", "uncorrected, lag"),
    ],
)
def test_what_is_no_objective_is_refused_with_a_hint(text: str, problem: str, hint: str) -> None:
    with pytest.raises(LoadError) as refused:
        parse_objective(text)
    assert refused.value.problem == f"the objective {text!r} {problem}"
    assert hint in refused.value.hint
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("comparison", "met"),
    [
        ("<", (True, False, False)),
        ("<=", (True, True, False)),
        (">", (False, False, True)),
        (">=", (False, True, True)),
        ("==", (False, True, False)),
    ],
)
def test_a_bound_is_compared_as_written(comparison: str, met: tuple[bool, ...]) -> None:
    objective = parse_objective(f"p99{comparison}20ms")
    assert tuple(objective.met_by(ms * 1e6) for ms in (19, 20, 21)) == met
