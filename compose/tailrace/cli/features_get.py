"""`tailrace features get`: the features of one entity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tailrace.cli.feature_options import FeaturesFailed
from tailrace.cli.features_command import features_command
from tailrace.cli.features_show import ViewName
from tailrace.cli.features_source import Registry
from tailrace.cli.features_words import (
    age_words,
    instant_option,
    instant_words,
    not_loaded_words,
    plain,
    table_console,
    value_words,
)
from tailrace.runtime.pipeline.problem import nearest
from tailrace.v1 import feature_registry_service_pb2 as pb
from tailrace.v1 import feature_service_pb2
from tailrace.v1.tensor_pb2 import Value

_STATES: dict[int, str] = {
    feature_service_pb2.FEATURE_STATE_FRESH: "fresh",
    feature_service_pb2.FEATURE_STATE_STALE: "[red]stale[/]",
    feature_service_pb2.FEATURE_STATE_MISSING: "[yellow]missing[/]: defaults stand in",
    feature_service_pb2.FEATURE_STATE_NOT_KEPT: "[yellow]not kept[/] for this instant",
}
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    features_command(app, "get", get)


async def get(
    registry: Registry,
    place: str,
    as_json: bool,
    view: ViewName,
    keys: Annotated[
        list[str],
        typer.Argument(help="Value of each key, such as origin=EWR; `origin=` is an empty text."),
    ],
    at: Annotated[
        str | None,
        typer.Option(help="Instant to look from, such as 2013-11-01T13:20:00Z; now by default."),
    ] = None,
) -> int:
    """Show the features of an entity: values, whether they are stored, their state and age.

    The exit status is 1 if it is missing, or anything but fresh or stale. A key that repeats, as
    id=a id=b, asks for several entities; then every key has to occur as often.
    """
    detail = (await registry.get_view(pb.GetViewRequest(view=view))).view
    entities = _entities(detail, keys)
    request = pb.GetEntityRequest(view=view, entities=entities)
    if at is not None:
        request.at.FromDatetime(instant_option(at, "--at"))
    answer = await registry.get_entity(request)
    if as_json:
        print(json.dumps(plain(answer), indent=2, ensure_ascii=False))
    else:
        console = table_console()
        if not answer.loaded:
            console.print(
                f"[yellow]{escape(view)}: {not_loaded_words(detail.kind)}[/]", soft_wrap=True
            )
        for entity in answer.entities:
            _print_entity(console, detail, entity)
    found = (feature_service_pb2.FEATURE_STATE_FRESH, feature_service_pb2.FEATURE_STATE_STALE)
    return 0 if all(entity.state in found for entity in answer.entities) else 1


def _print_entity(
    console: Console, detail: pb.FeatureViewDetail, entity: pb.EntityFeatures
) -> None:
    keys = ", ".join(f"{key.name}={value_words(entity.keys[key.name])}" for key in detail.keys)
    title = f"[bold]{escape(detail.name)}[/] {escape(keys)}"
    if entity.problem:
        console.print(f"{title}: [red]{escape(entity.problem)}[/]", soft_wrap=True)
        return
    age = ""
    if entity.HasField("age_us"):
        age = f", {age_words(entity.age_us)} old ({instant_words(entity.as_of)})"
    console.print(f"{title}: {_state(entity.state)}{age}", soft_wrap=True)
    types = {feature.name: feature for feature in detail.features}
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in entity.features:
        feature = types.get(each.name, pb.FeatureDetail())
        default = "" if each.present else "[yellow]default[/]"
        value = escape(value_words(each.value, feature.type))
        table.add_row(f"  {escape(each.name)}", value, escape(feature.unit), default)
    console.print(table)


def _state(number: int) -> str:
    name = feature_service_pb2.FeatureState.Name(number)  # type: ignore[arg-type]  # any that there is
    return _STATES.get(
        number, f"[yellow]{name.removeprefix('FEATURE_STATE_').replace('_', ' ').lower()}[/]"
    )


def _entities(detail: pb.FeatureViewDetail, keys: Sequence[str]) -> list[pb.EntityKeys]:
    """Returns the entities that `name=value` texts ask for. Raises FeaturesFailed."""
    types = {key.name: key.type for key in detail.keys}
    given: dict[str, list[Value]] = {name: [] for name in types}
    for text in keys:
        name, equals, value = text.partition("=")
        if not equals:
            raise FeaturesFailed(
                f"{text!r}: expected a key and its value, as {next(iter(types))}=…"
            )
        if name not in types:
            hint = nearest(name, types)
            suggestion = f"; did you mean {hint!r}?" if hint else ""
            raise FeaturesFailed(
                f"view {detail.name!r} has no key {name!r}, only {', '.join(types)}{suggestion}"
            )
        given[name].append(_value(types[name], value, name))
    counts = {name: len(values) for name, values in given.items()}
    absent = [name for name, count in counts.items() if not count]
    if absent:
        raise FeaturesFailed(f"view {detail.name!r} also needs {', '.join(absent)}")
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count} times" for name, count in counts.items())
        raise FeaturesFailed(f"every key has to occur as often as the others: found {found}")
    return [
        pb.EntityKeys(keys={name: values[place] for name, values in given.items()})
        for place in range(next(iter(counts.values())))
    ]


def _value(type_name: str, text: str, name: str) -> Value:
    if type_name == "string":
        return Value(string_value=text)
    if type_name == "timestamp":
        value = Value()
        value.timestamp_value.FromDatetime(instant_option(text, name))
        return value
    try:
        if type_name == "bool":
            return Value(bool_value=_BOOLS[text.lower()])
        return Value(int64_value=int(text))
    except (KeyError, ValueError) as error:
        raise FeaturesFailed(f"{name}={text}: expected a value of type {type_name}") from error
