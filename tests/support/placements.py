"""The ways in which one mesh may be laid out, for tests that have to hold for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tests.support.mesh_fixtures import StartMesh
from tests.support.onnx_models import WEIGHTS, write_sum_model
from tests.support.running_mesh import FILES_DIR, RunningMesh

# Pipelines of models that there are for Triton alone.
TRITON_ONLY = ("slow.yaml", "nan.yaml")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a mesh is laid out.

    Attributes:
        placement: where the hops run, as the gateway's settings say it.
        backend: what runs the models.
        workers: how many processes share the gateway's port.
        replicas: how many processes of each hop; one of those that are not named.
    """

    placement: str
    backend: Literal["triton", "onnxruntime"] = "triton"
    workers: int = 1
    replicas: Mapping[str, int] = field(default_factory=dict)


LAYOUTS = {
    "remote": Layout(placement="remote"),
    "remote-onnxruntime": Layout(placement="remote", backend="onnxruntime"),
    "local": Layout(placement="local"),
    "local-onnxruntime": Layout(placement="local", backend="onnxruntime"),
    "mixed": Layout(placement="ingest=local,inference=local"),
    "mixed-workers-replicas": Layout(
        placement="features=local,postprocess=local", workers=2, replicas={"ingest": 2}
    ),
}


@dataclass(frozen=True)
class PlacedMesh:
    """A running mesh and how it is laid out.

    Attributes:
        layout: how.
        mesh: the mesh; it has the pipelines whose models both backends have.
    """

    layout: Layout
    mesh: RunningMesh


def write_onnx_models(repository: Path) -> None:
    """Writes what ONNX Runtime needs to answer like Triton's `echo_sum`, in both versions."""
    write_sum_model(repository, "echo_sum", 1)
    write_sum_model(repository, "echo_sum", 2, [-weight for weight in WEIGHTS])


@pytest.fixture(scope="module", params=list(LAYOUTS.values()), ids=list(LAYOUTS))
def placed_mesh(
    request: pytest.FixtureRequest,
    start_module_mesh: StartMesh,
    redis_server: LocalRedis,
    triton_server: LocalTriton,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PlacedMesh]:
    """A mesh in each layout, one after the other."""
    layout: Layout = request.param
    folder = tmp_path_factory.mktemp("placed")
    files = folder / "files"
    shutil.copytree(FILES_DIR, files, ignore=shutil.ignore_patterns(*TRITON_ONLY))
    settings: dict[str, str] = {}
    if layout.backend == "onnxruntime":
        write_onnx_models(folder / "models")
        settings["TAILRACE_INFERENCE_BACKEND"] = "onnxruntime"
        settings["TAILRACE_MODEL_REPOSITORY"] = str(folder / "models")
    mesh = start_module_mesh(
        redis_server,
        triton_server,
        {"inference": settings},
        files,
        placement=layout.placement,
        workers=layout.workers,
        replicas=layout.replicas,
    )
    yield PlacedMesh(layout, mesh)
    mesh.kill()
