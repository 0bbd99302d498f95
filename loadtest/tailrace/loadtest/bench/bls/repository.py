"""Puts together the model repository of the BLS contender's Triton."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tailrace.loadtest.bench.bls.flight_columns import FlightConstants
from tailrace.loadtest.bench.plain_chain.flight_row import FlightModel

_MODEL_DIR = Path(__file__).parent / "flights_bls"

# No queue policy: with one, Triton's batcher may leave a request lying for up to half a second.
_BLS_CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 1024
input [
  {{ name: "text" data_type: TYPE_STRING dims: [ 4 ] }},
  {{ name: "numbers" data_type: TYPE_FP64 dims: [ 4 ] }}
]
output [
  {{ name: "probability" data_type: TYPE_FP32 dims: [ 1 ] }},
  {{ name: "late" data_type: TYPE_BOOL dims: [ 1 ] }}
]
instance_group [{{ kind: KIND_CPU count: {instances} }}]
dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}
parameters {{ key: "flights" value: {{ string_value: {constants} }} }}
"""
_FLIGHTS_CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 1024
input [{{ name: "features" data_type: TYPE_FP32 dims: [ 29 ] }}]
output [{{ name: "probability" data_type: TYPE_FP32 dims: [ 1 ] }}]
instance_group [{{ kind: KIND_CPU count: {instances} }}]
dynamic_batching {{ max_queue_delay_microseconds: 0 }}
"""


@dataclass(frozen=True, slots=True)
class BlsVariant:
    """One configuration of the BLS model.

    Attributes:
        instances: processes that run it.
        delay_us: how long the batcher waits for more requests, in microseconds.
    """

    instances: int
    delay_us: int

    @property
    def name(self) -> str:
        """Name of its model."""
        return f"flights_bls_i{self.instances}_d{self.delay_us}"


VARIANTS = tuple(BlsVariant(instances, delay) for instances in (1, 2) for delay in (0, 200, 1000))


def build_repository(
    folder: Path, flights_repository: Path, model: FlightModel, redis_url: str, instances: int
) -> Path:
    """Returns a repository with every variant and the flights model without a queue policy.

    Args:
        folder: where to make it.
        flights_repository: of the example.
        model: the constants of the pipeline.
        redis_url: where the packed rows are.
        instances: processes of the flights model.
    """
    repository = folder / "bls_models"
    shutil.rmtree(repository, ignore_errors=True)
    constants = FlightConstants(
        carriers=list(model.vocabularies["carrier"]),
        origins=list(model.vocabularies["origin"]),
        views={view: len(features) for view, features in model.views.items()},
        platt=model.platt,
        threshold=model.threshold,
        model=model.model,
        redis_url=redis_url,
    )
    # A string of the protobuf text format is written as one of JSON is.
    quoted = json.dumps(json.dumps(constants))
    for variant in VARIANTS:
        config = _BLS_CONFIG.format(
            name=variant.name,
            instances=variant.instances,
            delay_us=variant.delay_us,
            constants=quoted,
        )
        _add(repository / variant.name, _MODEL_DIR / "1", config)
    flights_config = _FLIGHTS_CONFIG.format(name=model.model, instances=instances)
    _add(repository / model.model, flights_repository / model.model / "1", flights_config)
    return repository


def _add(folder: Path, version: Path, config: str) -> None:
    shutil.copytree(version, folder / "1", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "config.pbtxt").write_text(config)
