"""What a scrape is answered with, written so that it never holds up the event loop.

A thread that computes keeps Python's lock for up to 5 ms after another has asked for it. So the
text is written in small parts, with rests in which whoever waits goes on.
"""

from __future__ import annotations

import copy
import gzip
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tailrace.runtime.series_metric import SeriesMetric

# Of metrics that do not write themselves: about a tenth of a millisecond.
PART_SAMPLES = 16
# After so much work there is a rest.
WORK_S = 0.0002
# Long enough for a thread that waits to wake up and take the lock.
REST_S = 0.00005
GZIP_LEVEL = 4

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
        accept: the header of that name; OpenMetrics, which alone has exemplars, if it names it.
        accept_encoding: the header of that name.
    """
    encode, content_type = choose_encoder(accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
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
    if not gzip_accepted(accept_encoding):
        return Exposition(content_type, "", body)
    # Releases the lock while it works.
    return Exposition(content_type, "gzip", gzip.compress(body, GZIP_LEVEL))


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
