"""What a scrape is answered with, written so that it never holds up the event loop.

A thread that computes keeps Python's lock for up to 5 ms after another has asked for it. So the
text is written in small parts, with rests in which whoever waits goes on.
"""

from __future__ import annotations

import copy
import gzip
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector

from tailrace.runtime.series_metric import SeriesMetric

# Of metrics that do not write themselves: about a tenth of a millisecond.
PART_SAMPLES = 16
# After so much work there is a rest.
WORK_S = 0.0002
# Long enough for a thread that waits to wake up and take the lock.
REST_S = 0.00005
GZIP_LEVEL = 4

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_END = b"# EOF\n"


@dataclass(frozen=True, slots=True)
class Exposition:
    """An answer to a scrape.

    Attributes:
        content_type: of the body.
        encoding: `gzip`, or empty.
        body: all metrics as text.
    """

    content_type: str
    encoding: str
    body: bytes


def expose(registry: CollectorRegistry, accept: str, accept_encoding: str) -> Exposition:
    """Returns all metrics, in the format that the scraper asks for.

    Args:
        registry: the metrics.
        accept: the header of that name; OpenMetrics, which alone has exemplars, if it takes it.
        accept_encoding: the header of that name.
    """
    openmetrics = _takes_openmetrics(accept)
    content_type = OPENMETRICS_TYPE if openmetrics else TEXT_TYPE
    encode: Callable[[Collector], Any] = (
        openmetrics_exposition.generate_latest if openmetrics else exposition.generate_latest
    )
    parts = []
    rested_s = time.monotonic()
    for part in _parts(registry, encode, openmetrics=openmetrics):
        parts.append(part)
        if time.monotonic() - rested_s > WORK_S:
            time.sleep(REST_S)
            rested_s = time.monotonic()
    if openmetrics:
        parts.append(_END)
    body = b"".join(parts)
    if not any(name == "gzip" for name, _ in _accepted(accept_encoding)):
        return Exposition(content_type, "", body)
    # Releases the lock while it works.
    return Exposition(content_type, "gzip", gzip.compress(body, GZIP_LEVEL))


def _takes_openmetrics(accept: str) -> bool:
    # Not as prometheus_client decides: it answers with whatever version and escaping are named, and
    # fails of what is no version. What is written here is of version 1.0, and escapes no names.
    return any(
        name == "application/openmetrics-text" and parameters.get("version", "1.").startswith("1.")
        for name, parameters in _accepted(accept)
    )


def _accepted(header: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yields what a header such as `Accept` names, with its parameters, but what it rules out."""
    for item in header.lower().split(","):
        name, *rest = item.split(";")
        pairs = [parameter.partition("=") for parameter in rest]
        parameters = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
        if parameters.get("q", "1").rstrip("0") not in ("", "0", "0."):
            yield name.strip(), parameters


def _parts(
    registry: CollectorRegistry, encode: Callable[[Collector], Any], *, openmetrics: bool
) -> Iterator[bytes]:
    for metric in registry.collect():
        if isinstance(metric, SeriesMetric):
            yield metric.head_text(openmetrics=openmetrics).encode()
            for text in metric.series_texts(openmetrics=openmetrics):
                yield text.encode()
            continue
        for first in range(0, max(len(metric.samples), 1), PART_SAMPLES):
            part = copy.copy(metric)
            part.samples = metric.samples[first : first + PART_SAMPLES]
            encoded: Any = encode(_One(part))
            written: bytes = encoded.removesuffix(_END)
            # Several parts have one head.
            yield _without_head(written) if first else written


def _without_head(text: bytes) -> bytes:
    return b"".join([line for line in text.splitlines(keepends=True) if not line.startswith(b"# ")])


class _One(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> list[Metric]:
        return [self._metric]
