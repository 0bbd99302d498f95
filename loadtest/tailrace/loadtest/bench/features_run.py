"""What `make bench-features` measures, in turn, repeat by repeat."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.progress import Steps
from tailrace.features.load_report import LoadReport
from tailrace.features.loader import load_view
from tailrace.features.redis_link import RedisLink
from tailrace.loadtest.bench.features_data import PREFIX, STATIC_VIEW, write_table
from tailrace.loadtest.bench.features_ratios import FEAST, Figures, Latencies, Subject
from tailrace.loadtest.bench.features_servers import FeatureServers, Worker
from tailrace.loadtest.bench.process_usage import MACHINE, ProcessUsage, used_between
from tailrace.runtime.pipeline.directory import load_directory

Item = TypeVar("Item")

PACED = 2000
"""Events per second."""

_PEAK = {"batch": 256, "streams": 2, "in_flight": 2, "rate": 0}
_PACED = {"batch": 20, "streams": 1, "in_flight": 100, "rate": PACED}
# More than can be: events are serialised before they are sent.
_MOST_PER_S = 40_000
_BESIDE = (("small", 1), ("small", 100), ("windowed", 1), ("windowed", 100))
_FRESH_EVENTS = {"paced": 100, "peak": 30}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load took.

    Attributes:
        entities: loaded.
        seconds: that it took.
        bytes_per_entity: by which Redis grew.
    """

    entities: int
    seconds: float
    bytes_per_entity: float


class FeatureRun:
    """One run.

    Attributes:
        figures: of lookups and events.
        loaded: what each load took, by name.
        event_cpu_us: CPU time per event at the peak, by process, of each repeat.
        service_cpu_us: CPU time of the features service per call, by rows, of each slice.
        outside_cores: what processes outside the benchmark took, of each slice.
        idle_cores: what processes took that had nothing to do, of each slice of lookups.
        versions: of Feast and what it stands on.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        servers: FeatureServers,
        folder: Path,
        pipelines: Path,
        steps: Steps,
    ) -> None:
        """Keeps the parts; nothing of `servers` runs yet."""
        self._options = options
        self._servers = servers
        self._folder = folder
        self._pipelines = pipelines
        self._steps = steps
        self._workers: dict[str, Worker] = {}
        self._event_number = self._seed = self._marked = 0
        self.figures = Figures()
        self.loaded: dict[str, Loaded] = {}
        self.event_cpu_us: list[dict[str, float]] = []
        self.service_cpu_us: dict[int, list[float]] = {}
        self.outside_cores: list[float] = []
        self.idle_cores: list[float] = []
        self.versions: dict[str, str] = {}

    def prepare(self) -> None:
        """Loads the same entities everywhere, and starts everything."""
        with self._steps.step(f"Writing {self._options.entities:,} entities"):
            table, large, small = write_table(self._folder, self._options.entities)
        self._servers.start_redis()
        with self._steps.step("Loading them with `tailrace features load`'s loader"):
            self._load("ours", self._servers.large, large)
            self._load("small", self._servers.small, small)
        if self._options.feast_python is not None:
            for name in FEAST:
                self._workers[name] = self._servers.start_feast(name, table, large)
            self.versions = self._workers[FEAST[0]].greeting
            self._load_feast()
        with self._steps.step("Starting services"):
            self._servers.start_services()
            self._lookups, self._sender = self._servers.start_clients(table)
        self._usage = ProcessUsage(self._servers.pids())

    def measure(self) -> None:
        """Measures lookups alone, then events, then lookups beside events."""
        ways = ("ours", "small", "grpc", "mget", *self._workers)
        subjects = [[Subject(way, rows) for way in ways] for rows in (1, 100)]
        with self._steps.step("Warming up"):
            for group in subjects:
                for subject in group:
                    self._look_up(subject)
            for mode in (_PACED, _PEAK):
                with self._sending(mode):
                    self._look_up(Subject("windowed", 1), 0.5)
        self.figures = Figures()
        self.outside_cores, self.idle_cores, self.service_cpu_us = [], [], {}
        with self._steps.step("Lookups") as step:
            for repeat in range(self._options.repeats):
                step.tell(f"repeat {repeat + 1} of {self._options.repeats}")
                for group in subjects:
                    for subject in shuffled(group, repeat):
                        self._keep(subject, self._look_up(subject))
        with self._steps.step("Events") as step:
            for repeat in range(self._options.event_repeats):
                step.tell(f"repeat {repeat + 1} of {self._options.event_repeats}")
                turns: list[Callable[[], None]] = [
                    self._beside_nothing, self._beside_paced, self._beside_peak, self._ingest,
                ]  # fmt: skip
                for turn in shuffled(turns, repeat):
                    turn()

    # -- loading ---------------------------------------------------------------------------

    def _load(self, name: str, server: LocalRedis, file: Path) -> None:
        before = _used_bytes(server)
        report = asyncio.run(_load_view(self._pipelines, server, file))
        grown = _used_bytes(server) - before
        self.loaded[name] = Loaded(report.rows, report.seconds, grown / report.rows)

    def _load_feast(self) -> None:
        for name, worker in self._workers.items():
            with self._steps.step(f"Loading them into Feast, to be read as {name}"):
                before = _used_bytes(self._servers.large)
                answer = worker.ask({"work": "load"})
                grown = _used_bytes(self._servers.large) - before
                entities = self._options.entities
                self.loaded[name] = Loaded(entities, answer["seconds"], grown / entities)

    # -- lookups ---------------------------------------------------------------------------

    def _look_up(self, subject: Subject, seconds: float = 0.0) -> Latencies:
        self._seed += 1
        order: dict[str, Any] = {
            "work": "slice", "contender": subject.contender, "rows": subject.rows,
            "seconds": seconds or self._options.seconds, "seed": self._seed,
        }  # fmt: skip
        worker = self._workers.get(subject.contender, self._lookups)
        before, began = self._usage.cpu_s(), time.monotonic()
        found = Latencies(**worker.ask(order))
        self._account(before, time.monotonic() - began, subject, found.calls)
        if found.wrong:
            raise RuntimeError(
                f"{found.wrong} of the rows of {subject} are not as they were loaded"
            )
        return found

    def _keep(self, subject: Subject, found: Latencies) -> None:
        self.figures.lookups.setdefault(subject, []).append(found)

    def _account(
        self, before: dict[str, float], elapsed_s: float, subject: Subject, calls: int
    ) -> None:
        used = used_between(before, self._usage.cpu_s())
        known = sum(each for name, each in used.items() if name != MACHINE)
        self.outside_cores.append(max(0.0, used[MACHINE] - known) / elapsed_s)
        if subject.contender == "grpc":
            per_call_us = used["features"] / calls * 1e6
            self.service_cpu_us.setdefault(subject.rows, []).append(per_call_us)
        if subject.events == "none":
            at_work = {"redis", "small redis", subject.contender}
            if subject.contender not in FEAST:
                at_work |= {"lookups"} | ({"features"} if subject.contender == "grpc" else set())
            idle = sum(used[name] for name in used if name not in at_work | {MACHINE})
            self.idle_cores.append(idle / elapsed_s)

    # -- events ----------------------------------------------------------------------------

    @contextmanager
    def _sending(self, mode: dict[str, int]) -> Iterator[dict[str, Any]]:
        """Sends events while the body runs; yields what becomes what came of it."""
        most = self._options.seconds * (len(_BESIDE) + 2) + 6.0
        events = int(most * (mode["rate"] * 1.5 or _MOST_PER_S))
        self._sender.ask({**mode, "first": self._event_number, "events": events})
        self._event_number += events
        outcome: dict[str, Any] = {}
        self._sender.tell({})
        yield outcome
        self._sender.tell({})
        outcome |= self._sender.answer()
        if outcome["others"]:
            raise RuntimeError(f"{outcome['others']} events were not accepted")

    def _beside_nothing(self) -> None:
        self._beside("calm")

    def _beside_paced(self) -> None:
        with self._sending(_PACED):
            self._beside("paced")
            self._fresh("paced")

    def _beside_peak(self) -> None:
        with self._sending(_PEAK):
            self._beside("peak")
            self._fresh("peak")

    def _beside(self, events: str) -> None:
        for contender, rows in _BESIDE:
            subject = Subject(contender, rows, events)
            self._keep(subject, self._look_up(subject))

    def _fresh(self, events: str) -> None:
        count = _FRESH_EVENTS[events]
        order = {"work": "freshness", "events": count, "first": self._marked}
        self._marked += count
        found = self._lookups.ask(order)
        if found["unseen"]:
            raise RuntimeError(f"{found['unseen']} accepted events were not seen by a lookup")
        visible = found["visible"]
        percentiles = visible["p50_ms"], visible["p99_ms"]
        self.figures.fresh_ms.setdefault(events, []).append(percentiles)

    def _ingest(self) -> None:
        with self._sending(_PEAK) as outcome:
            before = self._usage.cpu_s()
            time.sleep(self._options.ingest_seconds)
        used = used_between(before, self._usage.cpu_s())
        self.figures.events_per_s.append(outcome["accepted"] / outcome["seconds"])
        names = ("events", "small redis", "sender")
        self.event_cpu_us.append({n: used[n] / outcome["accepted"] * 1e6 for n in names})


def shuffled(items: Sequence[Item], repeat: int) -> list[Item]:
    """Returns the items in an order of their own for each repeat: who is first, and after whom."""
    return random.Random(repeat).sample(items, len(items))


async def _load_view(pipelines: Path, server: LocalRedis, file: Path) -> LoadReport:
    link = RedisLink(server.url, client_name="bench")
    view = load_directory(pipelines).views[STATIC_VIEW]
    try:
        return await load_view(view, file, link=link, prefix=PREFIX)
    finally:
        await link.close()


def _used_bytes(server: LocalRedis) -> int:
    with redis.Redis.from_url(server.url) as client:
        info: Any = client.info("memory")
    return int(info["used_memory"])
