"""A pipeline's description as a tree for people to read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.tree import Tree

from tailrace.client.json_values import to_json
from tailrace.client.values import from_value
from tailrace.v1 import pipeline_pb2, tensor_pb2

_DTYPES: dict[int, str] = {
    number: name.removeprefix("DATA_TYPE_").lower() for name, number in tensor_pb2.DataType.items()
}
# How many columns of one line are named before the rest is counted.
_MAX_NAMED = 6


def pipeline_tree(description: pipeline_pb2.PipelineDescription) -> Tree:
    """Returns the tree: what the pipeline takes, does and returns, in the order it happens."""
    tree = Tree(_titled(description.name, description.version, description.description))
    if description.owner:
        tree.add(f"owner: {escape(description.owner)}")
    deadline = f"{description.default_deadline_ms:g} ms"
    tree.add(f"deadline: {deadline}, at most {description.maximum_deadline_ms:g} ms")
    if description.HasField("objectives"):
        _add_objectives(tree, description.objectives)
    request = tree.add("[bold]request[/]")
    for field in description.request_fields:
        request.add(_field(field))
    _add_steps(tree, "ingest", description.ingest_steps)
    _add_views(tree, description)
    _add_model(tree, description.model)
    _add_steps(tree, "postprocess", description.postprocess_steps)
    prediction = tree.add("[bold]prediction[/]")
    for output in description.outputs:
        kind = " ".join(part for part in (_dtype(output.dtype), output.unit) if part)
        if output.length_of:
            kind += f", one for each of {output.length_of}"
        prediction.add(_titled(output.name, kind, output.description))
    return tree


def _titled(name: str, detail: str, description: str) -> str:
    text = f"[bold]{escape(name)}[/] {escape(detail)}"
    return f"{text}  [dim]{escape(description)}[/]" if description else text


def _field(field: pipeline_pb2.RequestField) -> str:
    parts = [field.type]
    if field.type == "tensor":
        parts = [f"tensor of {_dtype(field.dtype)} {list(field.shape)}"]
    if field.max_items:
        parts = [f"list of at most {field.max_items} {field.type}"]
    if field.unit:
        parts.append(field.unit)
    if field.required:
        parts.append("required")
    if field.HasField("default_value"):
        parts.append(f"default {_value(field.default_value)}")
    low = _value(field.minimum) if field.HasField("minimum") else ""
    high = _value(field.maximum) if field.HasField("maximum") else ""
    if low or high:
        parts.append(f"{low or '…'} to {high or '…'}")
    if field.allowed_values:
        parts.append(f"one of {_some([_value(value) for value in field.allowed_values])}")
    return _titled(field.name, ", ".join(parts), field.description)


def _add_objectives(tree: Tree, objectives: pipeline_pb2.Objectives) -> None:
    days = objectives.window_days
    branch = tree.add(f"[bold]objectives[/] [dim]over {days} {'day' if days == 1 else 'days'}[/]")
    for latency in objectives.latency:
        branch.add(f"{f'{latency.hop} ' if latency.hop else ''}latency {_within(latency)}")
    for name, prefix in (
        ("availability_percent", "availability at least"),
        ("degraded_max_percent", "degraded answers at most"),
        ("fresh_min_percent", "fresh feature rows at least"),
    ):
        if objectives.HasField(name):  # type: ignore[arg-type]  # names of optional fields
            branch.add(f"{prefix} {getattr(objectives, name):g} %")
    for delivery in objectives.delivery:
        branch.add(f"delivery {_within(delivery)}")


def _within(objective: pipeline_pb2.TimeObjective) -> str:
    return f"p{objective.percentile:.10g} within {objective.within_ms:.10g} ms"


def _add_steps(tree: Tree, section: str, steps: Sequence[pipeline_pb2.StepDescription]) -> None:
    branch = tree.add(f"[bold]{section}[/]" if steps else f"[bold]{section}[/] [dim]no steps[/]")
    for step in steps:
        outputs = _some([f"{column.name} {_dtype(column.dtype)}" for column in step.outputs])
        line = f"[bold]{escape(step.step)}[/] {escape(_some(step.inputs))} → {escape(outputs)}"
        # The type stands beside each output already.
        parameters = sorted(step.parameters.items())
        shown = ", ".join(
            f"{name}={_shortened(text)}" for name, text in parameters if name != "dtype"
        )
        branch.add(f"{line}  [dim]{escape(shown)}[/]" if shown else line)


def _add_views(tree: Tree, description: pipeline_pb2.PipelineDescription) -> None:
    if not description.views:
        return
    when = "beside ingest" if description.features_beside_ingest else "after ingest"
    failing = f"if the hop fails: {description.features_on_failure}"
    branch = tree.add(f"[bold]features[/] [dim]{when}; {failing}[/]")
    for view in description.views:
        keys = ", ".join(_key(key) for key in view.keys)
        name = view.alias or view.name
        of_view = "" if name == view.name else f"the view {view.name} "
        at = f" at {view.instant}" if view.instant else ""
        child = branch.add(_titled(name, f"{of_view}by {keys}{at}", view.description))
        child.add(escape(_some([f"{c.name} {_dtype(c.dtype)}" for c in view.columns])))
        age = (
            f", older than {view.max_age_ms / 1000:g} s: {view.on_stale}" if view.max_age_ms else ""
        )
        child.add(f"[dim]missing: {view.on_missing}{age}[/]")


def _key(key: pipeline_pb2.ViewKeyDescription) -> str:
    source = f"each of {key.source}" if key.elements else key.source
    return f"{key.name} = {source}"


def _add_model(tree: Tree, model: pipeline_pb2.ModelDescription) -> None:
    branch = tree.add(f"[bold]model[/] {escape(model.name)}, version {escape(model.version)}")
    for tensor in model.inputs:
        columns = f"{len(tensor.columns)} columns: {_some(tensor.columns)}"
        branch.add(f"in  [bold]{escape(tensor.name)}[/] {_dtype(tensor.dtype)}, {escape(columns)}")
    for tensor in model.outputs:
        shape = escape(f"{_dtype(tensor.dtype)} {list(tensor.shape)}")
        branch.add(f"out [bold]{escape(tensor.name)}[/] {shape}")


def _dtype(number: int) -> str:
    return _DTYPES.get(number, f"type {number}")


def _value(value: tensor_pb2.Value) -> str:
    return json.dumps(to_json(from_value(value)), ensure_ascii=False)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - _MAX_NAMED
    text = ", ".join(listed[:_MAX_NAMED])
    return f"{text} and {rest} more" if rest > 0 else text


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
