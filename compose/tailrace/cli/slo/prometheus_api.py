"""What the report asks of a Prometheus server.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tailrace.cli.slo.rendering import SloFailed

_TIMEOUT_S = 30.0
_MOST_SHOWN = 300


class PrometheusApi:
    """A Prometheus server, asked by its HTTP API."""

    def __init__(self, url: str) -> None:
        """Asks nothing yet.

        Args:
            url: where it is, such as `http://127.0.0.1:9090`; with user and password if it wants
                them.

        Raises:
            SloFailed: that is no HTTP address.
        """
        try:
            parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise SloFailed(f"--prometheus {url!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise SloFailed(f"--prometheus {url!r} is no HTTP address, as http://127.0.0.1:9090 is")
        self._authorization: str | None = None
        if parts.username is not None:
            pair = f"{urllib.parse.unquote(parts.username)}:"
            pair += urllib.parse.unquote(parts.password or "")
            token = base64.b64encode(pair.encode()).decode()
            self._authorization = f"Basic {token}"
        at = f"[{host}]" if ":" in host else host
        self.url = f"{parts.scheme}://{at}{f':{port}' if port else ''}{parts.path.rstrip('/')}"

    def value(self, promql: str, at: float) -> float | None:
        """Returns the one value of a query; None if it has none, or no number."""
        result = self._get("query", query=promql, time=at)["result"]
        if not result:
            return None
        value = float(result[0]["value"][1])
        return value if math.isfinite(value) else None

    def values(self, promql: str, label: str, at: float) -> dict[str, float]:
        """Returns the values of a query by a label; those that are numbers."""
        result = self._get("query", query=promql, time=at)["result"]
        found = {each["metric"].get(label, ""): float(each["value"][1]) for each in result}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def first_instant(self, promql: str, start: float, end: float, step_s: float) -> float | None:
        """Returns the first instant, to a step, at which a query has a value; None if none has."""
        result = self._get("query_range", query=promql, start=start, end=end, step=step_s)["result"]
        instants = [float(series["values"][0][0]) for series in result if series["values"]]
        return min(instants, default=None)

    def rule_interval_s(self, record: str) -> float | None:
        """Returns how often the rules of a name are evaluated, in seconds; None if there are none.

        Where there are several groups with it, the longest interval.
        """
        groups = self._get("rules", type="record")["groups"]
        found = [
            float(group["interval"])
            for group in groups
            if any(rule["name"] == record for rule in group["rules"])
        ]
        return max(found, default=None)

    def _get(self, path: str, **parameters: Any) -> Any:
        query = urllib.parse.urlencode(parameters)
        headers = {"Accept": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1/{path}?{query}", headers=headers)
        if self._authorization is not None:
            # For this server, not for one that it may name in its place.
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                content = json.load(answer)
            return content["data"]
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")[:_MOST_SHOWN]
            raise SloFailed(f"{self.url} answers {error.code} to {path}: {text}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise SloFailed(f"no Prometheus answers at {self.url}: {reason}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SloFailed(f"what answers at {self.url} is no Prometheus: {error!r}") from error
