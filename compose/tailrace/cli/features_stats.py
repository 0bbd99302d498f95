"""`tailrace features stats`: what is stored of a view, and what its values look like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tailrace.cli.features_command import features_command
from tailrace.cli.features_show import ViewName
from tailrace.cli.features_source import Registry
from tailrace.cli.features_words import (
    age_words,
    instant_option,
    instant_text,
    instant_words,
    plain,
    statistic_words,
    stored_words,
    table_console,
)
from tailrace.v1 import feature_registry_service_pb2 as pb

_QUANTILES = (0.05, 0.5, 0.95)
_FREQUENT = 3


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    features_command(app, "stats", stats)


async def stats(
    registry: Registry,
    place: str,
    as_json: bool,
    view: ViewName,
    sample: Annotated[
        int, typer.Option(min=1, max=10_000, help="Most entities of a windowed view to look at.")
    ] = 1000,
    at: Annotated[
        str | None,
        typer.Option(
            help="Instant to look at a windowed view from, such as 2013-11-01T13:20:00Z; now by "
            "default."
        ),
    ] = None,
) -> int:
    """Show rows, freshness, and per feature nulls, range, mean, quantiles and frequent values.

    Of static views they are of the last load; of windowed views, of a sample of entities, now or at
    the instant of --at.
    """
    request = pb.GetViewStatisticsRequest(view=view, sample_entities=sample)
    if at is not None:
        request.at.FromDatetime(instant_option(at, "--at"))
    answer = await registry.get_view_statistics(request)
    if as_json:
        print(json.dumps(plain(answer), indent=2, ensure_ascii=False))
        return 0
    console = table_console()
    for line in _lines(answer):
        console.print(line, soft_wrap=True)
    for title, features in _tables(answer, at is not None):
        console.print(f"\n[bold]{escape(title)}[/]", soft_wrap=True)
        console.print(_table(features))
    for note in (*answer.notes, *_nothing_found(answer.sample)):
        console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    return 0


def _lines(answer: pb.GetViewStatisticsResponse) -> list[str]:
    stored = answer.stored
    lines = [f"[bold]{escape(answer.view)}[/] {answer.kind}"]
    if answer.kind == "feast":
        return lines
    bound = f", may be {age_words(answer.max_age_us)} old" if answer.HasField("max_age_us") else ""
    lines.append(f"data: {stored_words(stored, answer.kind)}{bound}")
    if stored.problem:
        lines.append(f"[red]{escape(stored.problem)}[/]")
    if not stored.loaded or stored.problem:
        return lines
    verb = "begun" if answer.kind == "windowed" else "loaded"
    lines.append(f"generation {stored.generation}, {verb} {instant_words(stored.loaded_at)}")
    if stored.HasField("rows"):
        increments = f", and {stored.increments} increments since" if stored.increments else ""
        lines.append(f"{stored.rows:,} rows from {escape(stored.source)}{increments}")
    if stored.HasField("watermark"):
        column = escape(stored.timestamp_column)
        lines.append(f"newest row: {instant_words(stored.watermark)} (column {column})")
    if answer.HasField("sample") and answer.sample.HasField("newest_event"):
        lines.append(f"newest event of the sample: {instant_words(answer.sample.newest_event)}")
    return lines


def _tables(
    answer: pb.GetViewStatisticsResponse, asked: bool
) -> list[tuple[str, Sequence[pb.FeatureStatisticsDetail]]]:
    tables: list[tuple[str, Sequence[pb.FeatureStatisticsDetail]]] = []
    for name, rows in (
        ("last full load", answer.full_load),
        ("last increment", answer.last_increment),
    ):
        if rows.features:
            title = f"{name}: {rows.rows:,} rows, {instant_words(rows.loaded_at)}, {rows.source}"
            tables.append((title, rows.features))
    if answer.HasField("sample"):
        sample = answer.sample
        of_all = "all that there are" if sample.complete else "a sample, as a scan found them"
        states = f"{sample.fresh} fresh, {sample.stale} stale, {sample.missing} missing"
        if sample.not_kept:
            states += f", {sample.not_kept} not kept"
        if sample.corrupt:
            states += f", {sample.corrupt} corrupt"
        when = f"at {instant_words(sample.at)}" if asked else "now"
        title = f"{sample.entities:,} entities ({of_all}), {when}: {states}"
        tables.append((title, sample.features))
    return tables


def _nothing_found(sample: pb.SampleStatistics) -> list[str]:
    """Returns a line that says why no value is shown, where the instant is the reason."""
    if sample.fresh or sample.stale or not sample.HasField("newest_event"):
        return []
    newest, at_us = sample.newest_event, sample.at.ToMicroseconds()
    distance_us = at_us - newest.ToMicroseconds()
    side = "before" if distance_us >= 0 else "after"
    return [
        f"the newest event of the sample lies {age_words(abs(distance_us))} {side} this instant: "
        f"--at asks for another, such as --at {instant_text(newest)}"
    ]


def _table(features: Sequence[pb.FeatureStatisticsDetail]) -> Table:
    quantiles = [f"{share:.0%}" for share in _QUANTILES]
    headings = ("feature", "null", "NaN", "min", *quantiles, "max", "mean", "values")
    table = Table(*headings, box=None, pad_edge=False)
    for each in features:
        words = partial(statistic_words, type_name=each.type)
        found = {quantile.share: quantile.value for quantile in each.quantiles}
        table.add_row(
            f"[bold]{escape(each.name)}[/]",
            f"{each.null_rate:.2%}" if each.rows else "-",
            f"{each.nans:,}" if each.nans else "-",
            words(each.min if each.HasField("min") else None),
            *[words(found.get(share)) for share in _QUANTILES],
            words(each.max if each.HasField("max") else None),
            words(each.mean if each.HasField("mean") else None),
            _values(each),
        )
    return table


def _values(each: pb.FeatureStatisticsDetail) -> str:
    if not each.HasField("distinct"):
        return ""
    about = "about " if each.distinct_is_estimate else ""
    frequent = ", ".join(f"{value.value} ({value.count:,})" for value in each.frequent[:_FREQUENT])
    return escape(
        f"{about}{each.distinct:,}: {frequent}" if frequent else f"{about}{each.distinct}"
    )
