"""The variants of a mesh that `make bench-telemetry` compares, and what each has switched on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Receiver: TypeAlias = Literal["", "takes", "hangs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One mesh.

    Attributes:
        name: as in the names of ratios.
        title: as in the table.
        traces: share of requests that are traced.
        receiver: of its spans; none where nothing is traced.
        logs: share of requests that have log lines; None where not even degraded ones have any.
        scrape_s: how often each of its processes is scraped; 0: never.
        everything_hangs: standard output is a pipe that nobody reads, and a Logstash, the
            receiver of spans and scrapers take what comes and never answer or read.
    """

    name: str
    title: str
    traces: float = 0.0
    receiver: Receiver = ""
    logs: float | None = None
    scrape_s: float = 0.0
    everything_hangs: bool = False

    def settings(self, receivers: Mapping[str, str]) -> dict[str, str]:
        """Returns the settings of its processes, as environment variables.

        Args:
            receivers: of spans, by what they do, as URLs; under `logs`, the Logstash that hangs.
        """
        settings = {
            "TAILRACE_LOG_SAMPLE_RATE": str(self.logs or 0),
            # A degraded answer has a line whatever the rate: it is no warning.
            "TAILRACE_LOG_LEVEL": "info" if self.logs is not None else "error",
            # Else each process would have dictionaries of its own order, and one of them luck.
            "PYTHONHASHSEED": "0",
        }
        if self.receiver:
            settings["TAILRACE_TRACES_ENDPOINT"] = receivers[self.receiver]
            settings["TAILRACE_TRACES_SAMPLE_RATE"] = str(self.traces)
        if self.everything_hangs:
            settings["TAILRACE_LOG_TCP"] = receivers["logs"]
        return settings


OFF = Variant(name="off", title="all off: no spans, no lines, no scrapes")
"""What every other variant is compared with."""

VARIANTS = (
    Variant(name="control", title="all off, too: what the comparison itself is good for"),
    Variant(name="sampled", title="traces, 1 %", traces=0.01, receiver="takes"),
    Variant(name="full", title="traces, 100 %", traces=1.0, receiver="takes"),
    Variant(name="logs", title="log lines, 1 %", logs=0.01),
    Variant(name="logs_full", title="log lines, 100 %", logs=1.0),
    Variant(name="scraped", title="scraped every 5 s", scrape_s=5.0),
    Variant(
        name="all",
        title="all as by default: traces 1 %, lines 1 %, scraped every 15 s",
        traces=0.01,
        receiver="takes",
        logs=0.01,
        scrape_s=15.0,
    ),
    Variant(
        name="hung",
        title="the same, and nothing of it is taken",
        traces=0.01,
        receiver="hangs",
        logs=0.01,
        everything_hangs=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement of a round.

    Attributes:
        variant: its name.
        beside: names of the variants that are compared with this one, if it is `off`.
    """

    variant: str
    beside: tuple[str, ...] = field(default=())


def turns_of(names: Sequence[str], repeat: int) -> list[Turn]:
    """Returns a round: each variant next to a turn of `off`, which two of them share.

    Every other round is the other way round, so that each goes before `off` as often as after it,
    give or take one.

    Args:
        names: of the variants beside `off`.
        repeat: number of the round, from 0.
    """
    first = 2 * (repeat // 2) % len(names)
    ordered = [*names[first:], *names[:first]]
    turns: list[Turn] = []
    for place in range(0, len(ordered), 2):
        group = tuple(ordered[place : place + 2])
        turns += [Turn(group[0]), Turn(OFF.name, group), *(Turn(name) for name in group[1:])]
    return turns[::-1] if repeat % 2 else turns
