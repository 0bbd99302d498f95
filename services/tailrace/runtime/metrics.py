"""Metrics that every service shares, and the port that Prometheus reads."""

from __future__ import annotations

from prometheus_client import Gauge, start_http_server

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.counter import Counter
from tailrace.runtime.histogram import Histogram

CALLS = Counter(names.CALLS_TOTAL, "Calls answered.", ["method", "code"])
CALL_SECONDS = Histogram(
    names.CALL_SECONDS, "Time to answer a call.", ["method"], bounds=names.LATENCY_BUCKETS_S
)
CALLS_IN_FLIGHT = Gauge(names.CALLS_IN_FLIGHT, "Calls being answered.")
ROW_FAILURES = Counter(names.ROW_FAILURES_TOTAL, "Rows that failed.", ["hop", "reason"])


class MetricsPort:
    """The HTTP port that serves the metrics of this process."""

    def __init__(self, host: str, port: int) -> None:
        """Starts to listen. Raises OSError if the port is in use."""
        self._server, self._thread = start_http_server(port, host)
        self.port = self._server.server_port

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
