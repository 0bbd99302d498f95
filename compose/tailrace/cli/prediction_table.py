"""One prediction for people to read."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.markup import escape

from tailrace.client import Prediction, Quality
from tailrace.client.json_values import to_json
from tailrace.v1.pipeline_pb2 import PipelineDescription


def prediction_lines(prediction: Prediction, description: PipelineDescription) -> Iterator[str]:
    """Yields lines of console markup: what answered, the values, and how they were made."""
    model = f"{prediction.model_name} version {prediction.model_version}"
    yield (
        f"[bold]{escape(prediction.pipeline)}[/] {escape(prediction.pipeline_version)}"
        f"[dim], model {escape(model)}, request {escape(prediction.request_id)}[/]"
    )
    about = {output.name: output for output in description.outputs}
    # In the order of the pipeline file; whatever a later version adds comes last.
    names = [name for name in about if name in prediction.values]
    names += [name for name in prediction.values if name not in about]
    width = max(len(name) for name in [*names, "quality"])
    for name in names:
        text = json.dumps(to_json(prediction.values[name]), ensure_ascii=False)
        unit = f" {about[name].unit}" if name in about and about[name].unit else ""
        meaning = f"  [dim]{escape(about[name].description)}[/]" if name in about else ""
        yield f"  {escape(name):<{width}}  [bold]{escape(text)}[/]{escape(unit)}{meaning}"
    colour = "green" if prediction.quality is Quality.LIVE else "yellow"
    yield f"  {'quality':<{width}}  [{colour}]{prediction.quality.name}[/]"
    for reason in prediction.quality_reasons:
        yield (
            f"  {'':<{width}}  [{colour}]{reason.quality.name}[/] at {escape(reason.hop)}: "
            f"{escape(reason.detail)}"
        )
