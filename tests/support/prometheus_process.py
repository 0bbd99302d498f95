"""A real Prometheus: Debian's, as `make prometheus` unpacks it, or the one on PATH."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tailrace.cli.local.ports import LOOPBACK, listening_ports
from tailrace.cli.local.process import ChildProcess

UNPACKED = Path(__file__).resolve().parents[2] / ".build" / "prometheus"

_START_S = 30.0
_ASK_S = 10.0
# Of localhost only: whatever proxy the environment names has no business here.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class PrometheusRefused(Exception):
    """Prometheus answered with an error; the text is its own."""


def prometheus_tool(name: str) -> Path:
    """Returns `prometheus` or `promtool`.

    Skips the test where there is none; fails it if TAILRACE_REQUIRE_PROMETHEUS is set.
    """
    found = shutil.which(name, path=UNPACKED) or shutil.which(name)
    if found:
        return Path(found)
    reason = f"there is no {name}, neither in {UNPACKED} nor on PATH: `make prometheus` fetches it"
    if os.environ.get("TAILRACE_REQUIRE_PROMETHEUS"):
        pytest.fail(reason)
    pytest.skip(reason)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Returns what `promtool` with these arguments printed, and its exit status."""
    command = [prometheus_tool("promtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


class PrometheusProcess:
    """A Prometheus that listens on a free port of loopback.

    Attributes:
        process: the process underneath.
        folder: where its configuration, its log and its storage are.
    """

    def __init__(
        self,
        folder: Path,
        *,
        targets: Mapping[str, Sequence[str]] | Sequence[Mapping[str, Any]] = (),
        rule_files: Sequence[Path] = (),
        config: Mapping[str, Any] | Path | None = None,
        interval: str = "200ms",
        arguments: Sequence[str] = (),
    ) -> None:
        """Describes it; `start` starts it.

        Args:
            folder: for its files; is made.
            targets: addresses by job, or whole `scrape_configs`.
            rule_files: files with rules.
            config: the whole configuration, or a file with it, in place of `targets`,
                `rule_files` and `interval`.
            interval: how often it scrapes and evaluates rules.
            arguments: further ones for the command line.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._config_path = config if isinstance(config, Path) else folder / "prometheus.yml"
        self._port = 0
        if not isinstance(config, Path):
            self.write_config(config or _config(targets, rule_files, interval))
        self.process = ChildProcess(
            "prometheus",
            [
                str(prometheus_tool("prometheus")),
                f"--config.file={self._config_path}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={LOOPBACK}:0",
                "--enable-feature=exemplar-storage",
                *arguments,
            ],
            log_path=folder / "prometheus.log",
        )

    def start(self) -> None:
        """Starts it, and returns once it answers queries."""
        self.process.start()
        try:
            self.process.wait_until(self._ready, timeout_s=_START_S, waiting_for="to be ready")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends it."""
        self.process.stop()

    @property
    def url(self) -> str:
        """Where it is, such as `http://127.0.0.1:40123`."""
        return f"http://{LOOPBACK}:{self._port}"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the configuration, for a start, or for `reload`."""
        self._config_path.write_text(yaml.safe_dump(dict(config), sort_keys=False))

    def reload(self) -> None:
        """Makes it read its configuration and its rules again, and returns once it has."""
        before = self.process.log_text().count("Completed loading of configuration file")
        self.process.signal(signal.SIGHUP)
        self.process.wait_until(
            lambda: (
                self.process.log_text().count("Completed loading of configuration file") > before
            ),
            timeout_s=_START_S,
            waiting_for="to load its configuration",
        )

    def query(self, promql: str, time: float | None = None) -> list[dict[str, Any]]:
        """Returns the elements of an instant query: `{"metric": …, "value": [time, text]}`."""
        parameters = {"query": promql} | ({} if time is None else {"time": str(time)})
        return list(self.get("query", **parameters)["result"])

    def values(self, promql: str, *labels: str, time: float | None = None) -> dict[Any, float]:
        """Returns values of an instant query by their values of some labels.

        Keys are texts for one label, tuples for several, and `()` for none.
        """
        found: dict[Any, float] = {}
        for element in self.query(promql, time):
            key = tuple(element["metric"].get(label, "") for label in labels)
            found[key[0] if len(labels) == 1 else key] = float(element["value"][1])
        return found

    def query_range(
        self, promql: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """Returns the series of a range query: `{"metric": …, "values": [[time, text], …]}`."""
        answer = self.get("query_range", query=promql, start=start, end=end, step=step)
        return list(answer["result"])

    def exemplars(self, promql: str, start: float, end: float) -> list[dict[str, Any]]:
        """Returns exemplars by series."""
        return list(self.get("query_exemplars", query=promql, start=start, end=end))

    def alerts(self, state: str | None = None) -> list[dict[str, Any]]:
        """Returns alerts that are pending or firing, or those in one of these states only."""
        alerts = self.get("alerts")["alerts"]
        return [alert for alert in alerts if state in (None, alert["state"])]

    def rules(self) -> list[dict[str, Any]]:
        """Returns all rules, with their health."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """Returns targets that are scraped, with their health."""
        return list(self.get("targets", state="active")["activeTargets"])

    def wait_for_targets(self, timeout_s: float = _START_S) -> None:
        """Returns once there are targets, and each was scraped with success."""

        def scraped() -> bool:
            found = self.targets()
            return bool(found) and all(target["health"] == "up" for target in found)

        self.process.wait_until(scraped, timeout_s=timeout_s, waiting_for="to scrape all targets")

    def wait_for_scrapes(self, count: int = 2, timeout_s: float = _START_S) -> None:
        """Returns once every target was scraped as often with success, from now on."""

        def scrapes() -> dict[str, float]:
            return self.values("sum_over_time(up[1h])", "instance")

        since = scrapes()
        self.process.wait_until(
            lambda: all(now - since.get(target, 0) >= count for target, now in scrapes().items()),
            timeout_s=timeout_s,
            waiting_for="further scrapes",
        )

    def wait_for(self, promql: str, timeout_s: float = _START_S) -> list[dict[str, Any]]:
        """Returns what a query returns, once that is not empty."""
        return self.process.wait_until(
            lambda: self.query(promql), timeout_s=timeout_s, waiting_for=f"to answer {promql}"
        )

    def get(self, path: str, **parameters: Any) -> Any:
        """Returns `data` of an answer of the HTTP API.

        Args:
            path: below `/api/v1/`.
            parameters: of the query string.

        Raises:
            PrometheusRefused: it answered with an error.
        """
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with _OPENER.open(url, timeout=_ASK_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise PrometheusRefused(error.read().decode(errors="replace")) from error

    def _ready(self) -> bool:
        ports = listening_ports(self.process.pid)
        if not ports:
            return False
        (self._port,) = ports
        try:
            with _OPENER.open(f"{self.url}/-/ready", timeout=_ASK_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            # Not yet; it says 503 until it has read its storage.
            return False


class StartPrometheus(Protocol):
    """Starts a Prometheus for one test; the arguments are `PrometheusProcess`'s."""

    def __call__(
        self,
        *,
        targets: Mapping[str, Sequence[str]] | Sequence[Mapping[str, Any]] = (),
        rule_files: Sequence[Path] = (),
        config: Mapping[str, Any] | Path | None = None,
        interval: str = "200ms",
        arguments: Sequence[str] = (),
    ) -> PrometheusProcess:
        """Returns a Prometheus that answers."""


def _start_all(folder: Path) -> Iterator[StartPrometheus]:
    started: list[PrometheusProcess] = []

    def start(**arguments: Any) -> PrometheusProcess:
        server = PrometheusProcess(folder / f"prometheus-{len(started)}", **arguments)
        started.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in started:
            server.stop()


@pytest.fixture
def start_prometheus(tmp_path: Path) -> Iterator[StartPrometheus]:
    """Starts as many as a test wants, and ends them after it."""
    yield from _start_all(tmp_path)


@pytest.fixture(scope="module")
def start_module_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPrometheus]:
    """Starts as many as the tests of a module want, and ends them after these."""
    yield from _start_all(tmp_path_factory.mktemp("prometheus"))


def _config(
    targets: Mapping[str, Sequence[str]] | Sequence[Mapping[str, Any]],
    rule_files: Sequence[Path],
    interval: str,
) -> dict[str, Any]:
    if isinstance(targets, Mapping):
        targets = [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
            for job, addresses in targets.items()
        ]
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": [str(path.resolve()) for path in rule_files],
        "scrape_configs": [dict(target) for target in targets],
    }
