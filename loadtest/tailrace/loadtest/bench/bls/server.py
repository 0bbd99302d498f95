"""The Triton of the BLS contender."""

from __future__ import annotations

from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tailrace.cli.local.local_triton import LocalTriton
from tailrace.loadtest.bench.bls.repository import BlsVariant, build_repository
from tailrace.loadtest.bench.plain_chain.flight_row import FlightModel

_LOAD_TIMEOUT_S = 60.0


class BlsServer:
    """A Triton with the flights model, and one variant of the BLS model at a time.

    Attributes:
        triton: the server.
        variant: the variant that is loaded, or none.
    """

    def __init__(
        self,
        folder: Path,
        cache_dir: Path,
        flights_repository: Path,
        model: FlightModel,
        redis_url: str,
        flights_instances: int,
    ) -> None:
        """Puts the repository together; `triton.start` starts the server.

        Args:
            folder: for repository and log.
            cache_dir: where the wheel's Python backend is put together.
            flights_repository: of the example.
            model: the constants of the pipeline.
            redis_url: where the packed rows are.
            flights_instances: processes of the flights model.
        """
        repository = build_repository(
            folder, flights_repository, model, redis_url, flights_instances
        )
        self.triton = LocalTriton(
            model_repository=repository,
            models=[model.model],
            log_path=folder / "bls-triton.log",
            cache_dir=cache_dir,
            name="triton of the BLS model",
        )
        self.variant: BlsVariant | None = None

    def load(self, variant: BlsVariant) -> None:
        """Returns once the variant is loaded, and the one before it is not."""
        with grpc.insecure_channel(self.triton.grpc_target) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            if self.variant is not None:
                stub.RepositoryModelUnload(
                    service_pb2.RepositoryModelUnloadRequest(model_name=self.variant.name),
                    timeout=_LOAD_TIMEOUT_S,
                )
            stub.RepositoryModelLoad(
                service_pb2.RepositoryModelLoadRequest(model_name=variant.name),
                timeout=_LOAD_TIMEOUT_S,
            )
        self.variant = variant
