"""The one pipeline of the submission world: cheap, and its answers can be computed by hand."""

from __future__ import annotations

from pathlib import Path

from tests.support.onnx_models import write_sum_model

PIPELINE = "weighed"

_TEXT = """
pipeline: weighed
version: "1"
request:
  fields:
    x: {type: double, required: true}
    y: {type: double, required: true}
ingest:
  steps:
    - {step: cast, input: x, output: x}
    - {step: cast, input: y, output: y}
model:
  name: weighed_sum
  version: "1"
  inputs: [{name: features, dtype: float32, columns: [x, y, x, y]}]
  outputs: [{name: score, dtype: float32, shape: [1]}]
postprocess:
  outputs: [{name: score}]
deadline: {default_ms: 5000, maximum_ms: 10000}
"""


def write_files(folder: Path) -> None:
    """Writes `pipelines` and `models` into a folder."""
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    (pipelines / f"{PIPELINE}.yaml").write_text(_TEXT)
    write_sum_model(folder / "models", "weighed_sum")


def score_of(x: float, y: float) -> float:
    """Returns what the pipeline answers; exact for whole numbers below 1,000."""
    return x + 10 * y + 100 * x + 1000 * y
