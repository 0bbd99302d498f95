"""How many calls each tool makes at most, on the cores that it shares with the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tailrace.loadtest.bench.ghz.agreement import Runner
from tailrace.loadtest.bench.ghz.tool_run import Tool
from tailrace.loadtest.bench.ghz.workloads import UNARY_COST, Workload
from tailrace.loadtest.bench.spread import Spread

# Callers, and the connections that they share.
LAYOUTS = tuple((callers, connections) for callers in (50, 128, 256) for connections in (1, 4, 8))
STREAM_LAYOUTS = ((50, 1), (128, 8), (256, 4))


@dataclass(frozen=True, slots=True)
class Cell:
    """One tool with so many callers on so many connections.

    Attributes:
        tool: its name.
        callers: at a time.
        connections: that they share.
        rate: calls a second.
        tool_us: processor time of the tool for each call, in microseconds.
        server_us: of the server.
    """

    tool: str
    callers: int
    connections: int
    rate: Spread
    tool_us: Spread
    server_us: Spread


@dataclass(frozen=True, slots=True)
class Costs:
    """All cells of a workload, and the ratio of the best.

    Attributes:
        workload: its name.
        cells: of both tools.
        rate_over_ghz: our best rate to ghz's best rate, in each round.
    """

    workload: str
    cells: Sequence[Cell]
    rate_over_ghz: Spread

    def best(self, tool: str) -> Cell:
        """Returns the cell in which a tool made most calls."""
        return max((one for one in self.cells if one.tool == tool), key=lambda one: one.rate.median)


def measure(
    ours: Tool,
    ghz: Tool,
    run: Runner,
    workload: Workload,
    layouts: Sequence[tuple[int, int]],
    *,
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> Costs:
    """Measures every cell in every round.

    Args:
        ours: `tailrace load`.
        ghz: ghz.
        run: runs a tool with some flags.
        workload: what is called.
        layouts: callers and connections of each cell.
        rounds: how often.
        seconds: length of each run.
        tell: told what is measured.
    """
    keys = [(one.name, *layout) for layout in layouts for one in (ours, ghz)]
    tools = {one.name: one for one in (ours, ghz)}
    found: dict[tuple[str, int, int], list[tuple[float, float, float]]] = {key: [] for key in keys}
    best: list[dict[str, float]] = []
    for place in range(rounds):
        best.append({ours.name: 0.0, ghz.name: 0.0})
        for name, callers, connections in keys if place % 2 else reversed(keys):
            where = f"{name}, {callers} on {connections}"
            tell(f"{workload.name}, round {place + 1} of {rounds}: {where}")
            flags = ["-c", str(callers), "--connections", str(connections), "-z", f"{seconds:g}s"]
            done = run(tools[name], workload, [*flags, "--duration-stop", "wait"])
            count, ok, rate = done.summary()
            if ok != count or done.served.calls != count:
                raise RuntimeError(f"{name}: {count} calls, {ok} OK, {done.served.calls} served")
            tool_us = done.processor_s / count * 1e6
            server_us = done.served.processor_s / count * 1e6
            found[name, callers, connections].append((rate, tool_us, server_us))
            best[-1][name] = max(best[-1][name], rate)
    cells = []
    for key, figures in found.items():
        rates, tool_us_s, server_us_s = zip(*figures, strict=True)
        cells.append(Cell(*key, Spread.of(rates), Spread.of(tool_us_s), Spread.of(server_us_s)))
    ratio = Spread.of([each[ours.name] / each[ghz.name] for each in best])
    return Costs(workload.name, cells, ratio)


def memory(ours: Tool, run: Runner, counts: Sequence[int]) -> dict[int, int]:
    """Returns the largest resident memory of a run of so many calls, in bytes, by their number."""
    found = {}
    for count in counts:
        done = run(ours, UNARY_COST, ["-n", str(count), "-c", "128", "--connections", "4"])
        calls, ok, _ = done.summary()
        if (calls, ok) != (count, count):
            raise RuntimeError(f"{calls} calls, {ok} OK, instead of {count}")
        found[count] = done.resident_bytes
    return found
