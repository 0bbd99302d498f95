"""Fixtures with a real Triton and the models beside this file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tailrace.cli.local.local_triton import LocalTriton

MODELS_DIR = Path(__file__).parent / "models"
MODEL_NAMES = ("echo_sum", "slow", "nan")

# Shared by all sessions on this machine, and thrown away with the checkout.
CACHE_DIR = Path(__file__).parents[2] / ".tailrace" / "cache"


class StartTriton(Protocol):
    """Starts a Triton for one test and returns it ready; the arguments are `LocalTriton`'s."""

    def __call__(
        self,
        *,
        model_repository: Path = MODELS_DIR,
        models: Sequence[str] = MODEL_NAMES,
        model_config_name: str = "",
        grpc_port: int = 0,
        metrics_port: int = 0,
        gpu: bool = False,
        traces_endpoint: str | None = None,
        extra_arguments: Sequence[str] = (),
    ) -> LocalTriton:
        """Returns a Triton whose models are ready."""


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTriton]:
    """A Triton with the test models that all tests share, and that none may stop or change."""
    server = LocalTriton(
        model_repository=MODELS_DIR,
        models=MODEL_NAMES,
        log_path=tmp_path_factory.mktemp("triton") / "triton.log",
        cache_dir=CACHE_DIR,
    )
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def start_triton(tmp_path: Path) -> Iterator[StartTriton]:
    """Starts as many Tritons as a test wants, to kill and to start again as it likes."""
    servers: list[LocalTriton] = []

    def start(
        *,
        model_repository: Path = MODELS_DIR,
        models: Sequence[str] = MODEL_NAMES,
        model_config_name: str = "",
        grpc_port: int = 0,
        metrics_port: int = 0,
        gpu: bool = False,
        traces_endpoint: str | None = None,
        extra_arguments: Sequence[str] = (),
    ) -> LocalTriton:
        server = LocalTriton(
            model_repository=model_repository,
            models=models,
            log_path=tmp_path / f"triton-{len(servers)}.log",
            cache_dir=CACHE_DIR,
            model_config_name=model_config_name,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            gpu=gpu,
            traces_endpoint=traces_endpoint,
            extra_arguments=extra_arguments,
        )
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()
