"""What `make bench-mesh` does once everything is up."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.bls.repository import BlsVariant
from tailrace.loadtest.bench.bls.tuning import best_variant, variant_rates
from tailrace.loadtest.bench.generator.orders import Order
from tailrace.loadtest.bench.generators import EXPERIMENTS, Generators
from tailrace.loadtest.bench.mesh_contenders import (
    TITLES,
    Contender,
    bls_endpoint,
    check_scores,
    contenders_of,
)
from tailrace.loadtest.bench.process_usage import ProcessUsage
from tailrace.loadtest.bench.ratios import BUSY, peak_rate
from tailrace.loadtest.bench.servers import LOCAL_BACKENDS, BenchServers
from tailrace.loadtest.bench.slices import Bench, Load, Results
from tailrace.loadtest.bench.soak import soak

OPEN_LOOP_SHARE = 0.6
OURS = ("mesh", *LOCAL_BACKENDS)
_TUNING_S = 1.5
_WARM_S = 0.5
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark, with everything up.

    Attributes:
        options: of the command line.
        servers: all servers.
        generators: all generators.
        folder: for messages.
        steps: shows what goes on.
        console: shows what came of it.
    """

    options: argparse.Namespace
    servers: BenchServers
    generators: Generators
    folder: Path
    steps: Steps
    console: Console

    async def tune(self) -> dict[BlsVariant, float]:
        """Returns rows per second by BLS variant, the best one loaded, if it takes part."""
        if "bls" not in self.options.contenders:
            return {}
        if self.options.bls:
            self.servers.rivals.load(self.options.bls)
            return {}

        async def rate() -> float:
            endpoint = bls_endpoint(self.servers, self.folder)
            order = Order(
                work="closed",
                endpoint=endpoint,
                in_flight=BUSY,
                connections=self.options.connections,
                ramp_s=self.options.ramp,
                seconds=_TUNING_S,
            )
            return (await self.generators.load(order)).counted / _TUNING_S

        with self.steps.step("Finding the best configuration of the BLS model") as step:
            rates = await variant_rates(self.servers.rivals, rate, self.options.tuning_repeats)
            best = best_variant(rates)
            self.servers.rivals.load(best)
            step.tell(f"instances {best.instances}, delay {best.delay_us} µs")
        return rates

    async def contenders(self) -> tuple[list[Contender], float]:
        """Returns those asked for, proved alike, and the largest difference between answers."""
        # The reference is asked in any case.
        names = [name for name in TITLES if name in {*self.options.contenders, "triton"}]
        contenders = contenders_of(self.servers, names, self.folder)
        reference = contenders[0].wide
        assert reference is not None
        with self.steps.step("Comparing the answers of all contenders") as step:
            difference = await check_scores(contenders, reference, self.generators)
            step.tell(f"largest difference {difference:.1e}")
        asked = [one for one in contenders if one.name in self.options.contenders]
        return asked, difference

    def bench(self, contenders: list[Contender]) -> Bench:
        """Returns what measures them."""
        return Bench(
            contenders,
            self.generators,
            self.usage(),
            connections=self.options.connections,
            ramp_s=self.options.ramp,
            seconds=self.options.seconds,
        )

    def usage(self) -> ProcessUsage:
        """Returns what reads the usage of all processes that are up."""
        return ProcessUsage({**self.servers.pids(), "generator": self.generators.pids})

    async def compare(self, contenders: list[Contender]) -> Results:
        """Returns the slices of all loads: closed loops, then open loops at rates from those."""
        bench = self.bench(contenders)
        loads = closed_loads(contenders, self.options.concurrency, self.options.wide)
        with self.steps.step("Warming up") as step:
            for load in loads:
                if load.in_flight in (1, BUSY) or load.mode == "wide":
                    step.tell(f"{load.contender}, {load.mode}")
                    await bench.measure(load, seconds=_WARM_S)
        with self.steps.step("Closed loops") as step:
            results = await bench.compare(loads, self.options.repeats, step.tell)
        if self.options.open_loop:
            with self.steps.step("Open loops") as step:
                opened = open_loads(results, [one.name for one in contenders])
                results |= await bench.compare(opened, self.options.repeats, step.tell)
        return results

    async def lean_chain(self, contenders: list[Contender]) -> dict[str, object]:
        """Returns what the plain chain does with the generator's gRPC settings; information."""
        chain = next((one for one in contenders if one.name == "chain"), None)
        if chain is None:
            return {}
        with self.steps.step("The plain chain with other gRPC settings"):
            lean = self.servers.start_chain("lean", EXPERIMENTS)
            unary = replace(chain.unary, target=lean.target)
            bench = self.bench([replace(chain, unary=unary)])
            figures = {}
            for in_flight in (1, BUSY):
                load = Load("chain", "unary", in_flight)
                await bench.measure(load, seconds=_WARM_S)
                measured = await bench.measure(load)
                figures[f"{in_flight}"] = {"rate": measured.rate, "p50_ms": measured.p50_ms}
            lean.stop()
        self.console.print(f"plain chain with {EXPERIMENTS}, by calls in flight: {figures}")
        return {"chain_with_experiments": figures}

    async def soak(self, contenders: list[Contender]) -> dict[str, object]:
        """Returns the growth of every process of the mesh's contenders over many predictions."""
        usage = self.usage()
        grown: dict[str, object] = {}
        for contender in contenders:
            if contender.name not in OURS:
                continue
            with self.steps.step(f"Soaking {contender.title}") as step:
                growth = await soak(
                    contender,
                    self.generators,
                    usage,
                    self.options.soak,
                    self.options.connections,
                    step.tell,
                )
            grown[contender.name] = {name: asdict(one) for name, one in growth.items()}
            parts = ", ".join(
                f"{name} {one.warm_bytes / _MIB:.1f} {one.grown_bytes / _MIB:+.1f}"
                for name, one in growth.items()
            )
            self.console.print(f"{contender.title}, resident MiB: {parts}")
        return {"predictions": self.options.soak, "resident_bytes": grown}


def closed_loads(
    contenders: list[Contender], concurrency: list[int], wide: list[int]
) -> list[Load]:
    """Returns the closed loops: one row per call at every width, then many rows per message."""
    loads = [Load(one.name, "unary", in_flight) for in_flight in concurrency for one in contenders]
    takes_many = [one for one in contenders if one.wide is not None]
    return loads + [Load(one.name, "wide", in_flight) for in_flight in wide for one in takes_many]


def open_loads(results: Results, contenders: list[str]) -> list[Load]:
    """Returns the open loops: at a share of each one's own peak, and of the slower of two."""
    peaks = {
        name: peak_rate(results, name) for name in ("triton", "mesh", "bls") if name in contenders
    }
    loads = [Load(name, "open_own", rate=OPEN_LOOP_SHARE * peak) for name, peak in peaks.items()]
    both = [name for name in ("mesh", "bls") if name in peaks]
    if len(both) == 2:
        slower = min(peaks[name] for name in both)
        loads += [Load(name, "open_shared", rate=OPEN_LOOP_SHARE * slower) for name in both]
    return loads
