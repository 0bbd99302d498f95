import gzip
import math
import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tailrace.runtime.counter import Counter
from tailrace.runtime.exposition import expose
from tailrace.runtime.histogram import Histogram

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NASTY = 'a"b\\c\nd'


def filled() -> CollectorRegistry:
    registry = CollectorRegistry()
    calls = Counter("calls_total", "Calls.", ["method", "code"], registry=registry)
    calls.labels("a/B", "OK").inc(3)
    calls.labels(NASTY, "OK").inc()
    Counter("drops_total", "What was dropped.", registry=registry)
    seconds = Histogram("call_seconds", "Time.", ["method"], bounds=(0.1, 1), registry=registry)
    series = seconds.labels("a/B", more_bounds=[0.08])
    series.observe(0.05, 4, TRACE)
    series.observe(0.09, 2)
    series.observe(20.0)
    Histogram("lag_seconds", "Lag.", bounds=(1,), registry=registry).labels().observe(1)
    gauge = Gauge("size_bytes", "Size.", ["of"], registry=registry)
    for number in range(50):
        gauge.labels(str(number)).set(number)
    return registry


def samples(text: str, parse: object) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    assert callable(parse)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "parse"), [("", parse_text), (OPENMETRICS, parse_openmetrics)], ids=["text", "open"]
)
def test_what_is_written_is_what_was_counted(accept: str, parse: object) -> None:
    registry = filled()
    text = expose(registry, accept, "").body.decode()
    written = samples(text, parse)
    counted = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    assert written == counted
    assert written["calls_total", (("code", "OK"), ("method", NASTY))] == 1
    assert written["drops_total", ()] == 0
    assert written["call_seconds_bucket", (("le", "0.08"), ("method", "a/B"))] == 4
    assert written["call_seconds_bucket", (("le", "0.1"), ("method", "a/B"))] == 6
    assert written["call_seconds_bucket", (("le", "+Inf"), ("method", "a/B"))] == 7
    assert math.isclose(written["call_seconds_sum", (("method", "a/B"),)], 20.38)
    assert registry.get_sample_value("calls_total", {"method": "a/B", "code": "OK"}) == 3


def test_each_metric_has_one_head() -> None:
    text = expose(filled(), "", "").body.decode()
    heads = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
    assert sorted(heads) == [
        "call_seconds", "calls_total", "drops_total", "lag_seconds", "size_bytes",
    ]  # fmt: skip


def test_openmetrics_has_exemplars_that_point_to_traces() -> None:
    parse: Any = parse_openmetrics
    (bucket,) = [
        sample
        for family in parse(expose(filled(), OPENMETRICS, "").body.decode())
        for sample in family.samples
        if sample.exemplar
    ]
    assert bucket.labels == {"method": "a/B", "le": "0.08"}
    assert bucket.exemplar is not None
    assert (bucket.exemplar.labels, bucket.exemplar.value) == ({"trace_id": TRACE}, 0.05)
    # OpenMetrics allows 128 characters for all labels of one.
    assert sum(len(name) + len(value) for name, value in bucket.exemplar.labels.items()) <= 128
    assert "# {" not in expose(filled(), "", "").body.decode()


def test_a_scraper_that_takes_gzip_gets_it() -> None:
    registry = filled()
    plain, packed = (expose(registry, OPENMETRICS, coding) for coding in ("", "gzip"))
    assert (plain.encoding, packed.encoding) == ("", "gzip")
    assert gzip.decompress(packed.body) == plain.body


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ("", ""),
        ("*/*", ""),
        ("text/plain;version=zzz", ""),
        ("application/openmetrics-text;version=0.0.1", ""),
        ("application/openmetrics-text;version=2.0.0", ""),
        ("application/openmetrics-text;version=1.0.0;q=0.0,text/plain", ""),
        ("application/openmetrics-text;version=no-version", ""),
        ("application/openmetrics-text", "1.0.0"),
        ("Application/OpenMetrics-Text; Version=1.0.0; escaping=dots", "1.0.0"),
        # As Prometheus 3 asks, once it may be answered in protocol buffers.
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
            "encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;"
            "escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2",
            "1.0.0",
        ),
    ],
)
def test_the_format_is_one_that_the_scraper_takes_and_says_which(accept: str, version: str) -> None:
    answer = expose(filled(), accept, "")
    if version:
        expected = f"application/openmetrics-text; version={version}; charset=utf-8"
        assert answer.body.endswith(b"# EOF\n")
    else:
        expected = "text/plain; version=0.0.4; charset=utf-8"
        assert b"# EOF" not in answer.body
    assert answer.content_type == expected
    # Whatever escaping is asked for: names have nothing to escape.
    assert b"size_bytes{" in answer.body


@pytest.mark.parametrize("accept", ["", OPENMETRICS], ids=["text", "open"])
def test_quotes_in_a_documentation_are_read_as_they_were_written(accept: str) -> None:
    registry = CollectorRegistry()
    Counter("calls_total", 'Calls of "x", \\n is no\nbreak.', registry=registry)
    parse: Any = parse_openmetrics if accept else parse_text
    (family,) = parse(expose(registry, accept, "").body.decode())
    assert family.documentation == 'Calls of "x", \\n is no\nbreak.'


def test_gzip_that_is_ruled_out_is_not_sent() -> None:
    assert expose(filled(), "", "gzip;q=0, identity").encoding == ""
    assert expose(filled(), "", "deflate, GZIP;q=0.5").encoding == "gzip"


def test_a_bound_more_begins_a_series_anew_with_lines_for_it() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("call_seconds", "Time.", ["m"], bounds=(1,), registry=registry)
    series = histogram.labels("a")
    series.observe(0.5)
    assert b'call_seconds_bucket{m="a",le="1.0"} 1.0' in expose(registry, "", "").body
    assert histogram.labels("a", more_bounds=[0.25]) is series
    series.observe(0.5)
    text = expose(registry, "", "").body
    assert b'call_seconds_bucket{m="a",le="0.25"} 0.0' in text
    assert b'call_seconds_bucket{m="a",le="1.0"} 1.0' in text
    # An objective that goes leaves its bound, so that nothing begins anew for it.
    histogram.labels("a")
    assert b'call_seconds_bucket{m="a",le="1.0"} 1.0' in expose(registry, "", "").body


def test_labels_that_do_not_fit_are_refused() -> None:
    registry = CollectorRegistry()
    with pytest.raises(ValueError, match="calls_total has 2 labels, found 1"):
        Counter("calls_total", "Calls.", ["method", "code"], registry=registry).labels("a")
