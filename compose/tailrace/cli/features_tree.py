"""A feature view as a tree for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.markup import escape
from rich.tree import Tree

from tailrace.cli.features_words import value_words
from tailrace.runtime.pipeline.duration import duration_text
from tailrace.v1 import feature_registry_service_pb2 as pb

_TESTS = {
    "equals": "=", "not_equals": "!=", "one_of": "one of", "at_least": ">=", "at_most": "<=",
    "above": ">", "below": "<",
}  # fmt: skip


def view_tree(answer: pb.GetViewResponse) -> Tree:
    """Returns the tree: what the view holds, where it comes from, and who uses it."""
    view = answer.view
    tree = Tree(_titled(view.name, f"{view.kind} view of {view.entity}", view.description))
    _add_facts(tree, view)
    keys = tree.add("[bold]keys[/]")
    for key in view.keys:
        step = f", by {_length(key.granularity_us)}" if key.HasField("granularity_us") else ""
        keys.add(_titled(key.name, f"{key.type}{step}"))
    features = tree.add("[bold]features[/]")
    for feature in view.features:
        _add_feature(features, feature, view.owner)
    tree.add(_policies(view))
    if answer.HasField("event_type"):
        _add_event_type(tree, answer.event_type)
    _add_consumers(tree, view.name, answer.consumers)
    return tree


def _add_facts(tree: Tree, view: pb.FeatureViewDetail) -> None:
    if view.owner:
        tree.add(f"owner: {escape(view.owner)}")
    if view.tags:
        tree.add(f"tags: {escape(', '.join(view.tags))}")
    tree.add(f"file: {escape(view.file or 'refused, or gone; pipelines use what it said before')}")
    for problem in view.file_problems:
        tree.add(f"[red]{escape(problem)}[/]")
    if view.HasField("source"):
        source = tree.add(f"[bold]source[/] {view.source.type}")
        for name, text in sorted(view.source.parts.items()):
            source.add(f"{escape(name)}: {escape(text.strip())}")
    else:
        tree.add("[bold]source[/] files that are loaded by hand")


def _add_feature(branch: Tree, feature: pb.FeatureDetail, owner: str) -> None:
    parts = [f"{feature.type} × {feature.length}" if feature.length else feature.type]
    if feature.unit:
        parts.append(feature.unit)
    if feature.HasField("default_value"):
        parts.append(f"default {value_words(feature.default_value, feature.type)}")
    child = branch.add(_titled(feature.name, ", ".join(parts), feature.description))
    if feature.HasField("aggregate"):
        child.add(escape(_aggregate(feature.aggregate)))
    if feature.values:
        child.add(f"one of: {escape(_some(feature.values))}")
    if feature.tags:
        child.add(f"tags: {escape(', '.join(feature.tags))}")
    if feature.owner != owner:
        child.add(f"owner: {escape(feature.owner)}")


def _aggregate(aggregate: pb.AggregateDetail) -> str:
    of = f" of {aggregate.of}" if aggregate.of else " of events"
    if aggregate.HasField("window_us"):
        window = f"over {_length(aggregate.window_us)}"
    else:
        window = f"since midnight, {aggregate.midnight_timezone}"
    conditions = " and ".join(_condition(each) for each in aggregate.where)
    where = f", where {conditions}" if conditions else ""
    return f"{aggregate.function}{of} {window}, in tiles of {_length(aggregate.tile_us)}{where}"


def _condition(condition: pb.ConditionDetail) -> str:
    values = ", ".join(value_words(value) for value in condition.values)
    return f"{condition.field} {_TESTS.get(condition.test, condition.test)} {values}"


def _policies(view: pb.FeatureViewDetail) -> str:
    stale = f"older than {_length(view.max_age_us)}" if view.HasField("max_age_us") else "never"
    gone = f", or older than {_length(view.ttl_us)}" if view.HasField("ttl_us") else ""
    return f"stale: {stale} ({view.on_stale}); missing: not there{gone} ({view.on_missing})"


def _add_event_type(tree: Tree, event: pb.EventTypeDetail) -> None:
    branch = tree.add(_titled(f"event {event.name}", "", event.description))
    for field in event.fields:
        parts = [field.type, *([field.unit] if field.unit else [])]
        parts += [] if field.required else ["may be left out"]
        branch.add(_titled(field.name, ", ".join(parts), field.description))


def _add_consumers(tree: Tree, view: str, consumers: Sequence[pb.ViewConsumer]) -> None:
    if not consumers:
        tree.add("[bold]used by[/] nobody")
        return
    branch = tree.add("[bold]used by[/]")
    for consumer in consumers:
        called = "" if consumer.name == view else f" as {consumer.name}"
        keys = ", ".join(f"{name} = {source}" for name, source in sorted(consumer.keys.items()))
        lists = f", lists of at most {consumer.elements}" if consumer.elements else ""
        at = f", at {consumer.at}" if consumer.at else ""
        title = f"{consumer.pipeline_version}{called}, by {keys}{lists}{at}"
        child = branch.add(_titled(consumer.pipeline, title))
        if consumer.earlier_definition:
            child.add("[red]with what the file said before[/]")
        for reader, names in (
            ("model reads", consumer.model_reads),
            ("postprocess reads", consumer.postprocess_reads),
            ("unread", consumer.unread),
        ):
            if names:
                child.add(f"{reader}: {escape(_some(names, 20))}")


def _titled(name: str, detail: str, description: str = "") -> str:
    text = f"[bold]{escape(name)}[/] {escape(detail)}"
    return f"{text}  [dim]{escape(description)}[/]" if description else text


def _length(length_us: int) -> str:
    return duration_text(timedelta(microseconds=length_us))


def _some(names: Sequence[str], most: int = 12) -> str:
    rest = len(names) - most
    text = ", ".join(names[:most])
    return f"{text} and {rest} more" if rest > 0 else text
