"""What a deployment's processes have used, read from their metrics."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tailrace.loadtest.bench.process_usage import MACHINE, ProcessUsage
from tailrace.loadtest.load_error import LoadError
from tailrace.runtime import telemetry_names as names

TRITON = "triton"
_TIMEOUT_S = 5.0
_CPU = "process_cpu_seconds_total"
# Triton tells no CPU time of its own, yet how long its models worked.
_TRITON_US = (
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
)
_REDIS_CPU = ("redis_cpu_user_seconds_total", "redis_cpu_sys_seconds_total")
_HOP_SUM, _HOP_COUNT = f"{names.HOP_SECONDS}_sum", f"{names.HOP_SECONDS}_count"
_ROWS_SUM, _ROWS_COUNT = f"{names.CONVOY_ROWS}_sum", f"{names.CONVOY_ROWS}_count"


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """Where a process tells its metrics.

    Attributes:
        address: `HOST:PORT`.
        service: what it is; empty where its metrics say it.
    """

    address: str
    service: str = ""


@dataclass(slots=True)
class Reading:
    """What processes had used at an instant, since they started.

    Attributes:
        at: when, in seconds on the monotonic clock.
        cpu_s: CPU time by service, in seconds, of all its processes.
        processes: how many processes each service has.
        predictions: that the gateway has answered, or refused.
        hop_s: time in hops, by hop, in seconds.
        hop_count: passages of hops, by hop.
        convoy_rows: rows in convoys.
        convoys: convoys.
        machine_s: CPU time of this machine.
    """

    at: float
    cpu_s: dict[str, float] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    predictions: float = 0.0
    hop_s: dict[str, float] = field(default_factory=dict)
    hop_count: dict[str, float] = field(default_factory=dict)
    convoy_rows: float = 0.0
    convoys: float = 0.0
    machine_s: float = 0.0


class Deployment:
    """Reads what all processes of a deployment have used."""

    def __init__(self, targets: Sequence[ScrapeTarget], usage: ProcessUsage | None = None) -> None:
        """Keeps where to ask.

        Args:
            targets: processes with metrics.
            usage: processes of this machine without metrics; also reads what the machine used.
        """
        self._targets = targets
        self._usage = usage or ProcessUsage({})
        self._extra = usage is not None

    async def read(self) -> Reading:
        """Returns what they have used by now.

        Raises:
            LoadError: a target does not answer, or has no metrics that tell what it used.
        """
        texts = await asyncio.gather(*(asyncio.to_thread(_fetch, one) for one in self._targets))
        reading = Reading(time.monotonic())
        for target, text in zip(self._targets, texts, strict=True):
            _add(reading, target, text)
        for name, used in self._usage.cpu_s().items():
            if name == MACHINE:
                reading.machine_s = used
            elif self._extra:
                reading.cpu_s[name] = reading.cpu_s.get(name, 0.0) + used
                reading.processes[name] = reading.processes.get(name, 0) + 1
        return reading


def read_targets_file(file: Path) -> list[ScrapeTarget]:
    """Returns the targets of a file as Prometheus' `file_sd_configs` read it.

    `tailrace up` writes such a file. The label `service` says what each target is.

    Raises:
        LoadError: it cannot be read, or is no such file.
    """
    try:
        groups: Any = json.loads(file.read_text())
        return [
            ScrapeTarget(address, group.get("labels", {}).get("service", ""))
            for group in groups
            for address in group["targets"]
        ]
    except OSError as error:
        raise LoadError(
            f"the targets file {file} cannot be read: {error.strerror}",
            "--targets-file names the prometheus-targets.json of `tailrace up`",
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LoadError(
            f"the targets file {file} is no list of targets for Prometheus",
            "such as prometheus-targets.json, which tailrace up writes",
        ) from error


def _fetch(target: ScrapeTarget) -> str:
    url = f"http://{target.address}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            text: str = answer.read().decode()
            return text
    except HTTPException as error:
        raise LoadError(
            f"{url} does not answer as metrics do, in HTTP",
            "metrics have a port of their own, which a process tells when it starts",
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise LoadError(
            f"{url} does not answer: {reason}", "a process tells its metrics port when it starts"
        ) from error


def _add(reading: Reading, target: ScrapeTarget, text: str) -> None:
    cpu_s, service = None, target.service
    for family in _families(target, text):
        for sample in family.samples:
            name, labels, value = sample.name, sample.labels, sample.value
            if name in (_CPU, *_REDIS_CPU):
                cpu_s = (cpu_s or 0.0) + value
            # The parser gives counters the ending that theirs lack.
            elif name.removesuffix("_total") in _TRITON_US:
                cpu_s, service = (cpu_s or 0.0) + value / 1e6, service or TRITON
            elif name == names.BUILD_INFO:
                service = service or labels.get("service", "")
            elif name == names.PREDICTIONS_TOTAL:
                reading.predictions += value
            elif name == _HOP_SUM:
                _grow(reading.hop_s, labels["hop"], value)
            elif name == _HOP_COUNT:
                _grow(reading.hop_count, labels["hop"], value)
            elif name == _ROWS_SUM:
                reading.convoy_rows += value
            elif name == _ROWS_COUNT:
                reading.convoys += value
    if cpu_s is None:
        raise LoadError(
            f"http://{target.address}/metrics does not tell what the process used",
            f"{_CPU} is not among its metrics",
        )
    service = service or target.address
    _grow(reading.cpu_s, service, cpu_s)
    reading.processes[service] = reading.processes.get(service, 0) + 1


def _families(target: ScrapeTarget, text: str) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(text))
    except ValueError as error:
        raise LoadError(
            f"http://{target.address}/metrics tells no metrics: {error}",
            "--metrics wants metrics ports, which `tailrace status` names",
        ) from error


def _grow(sums: dict[str, float], key: str, value: float) -> None:
    sums[key] = sums.get(key, 0.0) + value


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Returns what was used between two readings, by name; a process that restarted counts 0."""
    return {name: max(0.0, value - before.get(name, 0.0)) for name, value in after.items()}
