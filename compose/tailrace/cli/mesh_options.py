"""How to run a mesh on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tailrace.cli.local.ports import check_port_is_free
from tailrace.runtime.config import LauncherSettings, TransportSettings


@dataclass(frozen=True, kw_only=True)
class MeshOptions:
    """How to run a mesh.

    Attributes:
        inference_backend: what runs the models.
        gpu: whether Triton sees the GPUs, and runs the models that the example has for them.
        placement: where the hops run, as the gateway's settings say it.
        workers: how many processes share the gateway's port.
        replicas: how many processes of each hop; one of those that are not named.
        ports: port by process name; 0 or none for a free one (Redis: a Unix socket).
        metrics_ports: likewise for metrics; Redis has none, and the gateway's workers take the
            numbers above the gateway's.
        redis_server_path: the `redis-server` to run, if not the one that is found.
        triton_server_path: the `tritonserver` to run, if not the one that is found.
        submissions: whether there are a queue Redis, a dispatcher and a courier.
        queue_durability: what the queue Redis makes durable, as the gateway's settings say it.
        keep_queue: whether the queue's content is kept for the mesh's next start.
        traces_endpoint: where Triton sends its spans; the services have it from their environment.
        cache_dir: what can be made again.
        transport: credentials for talking to the mesh's processes.
    """

    inference_backend: Literal["triton", "onnxruntime"]
    gpu: bool = False
    placement: str = "remote"
    workers: int = 1
    replicas: Mapping[str, int] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    metrics_ports: Mapping[str, int] = field(default_factory=dict)
    redis_server_path: Path | None = None
    triton_server_path: Path | None = None
    submissions: bool = True
    queue_durability: Literal["always", "waitaof", "everysec", "none"] = "always"
    keep_queue: bool = False
    traces_endpoint: str | None = None
    cache_dir: Path
    transport: TransportSettings

    def check_ports(self) -> None:
        """Returns if nobody is known to listen on a port of the mesh. Raises PortInUse."""
        for ports in (self.ports, self.metrics_ports):
            for name, port in ports.items():
                check_port_is_free(name, port)
        metrics_port = self.metrics_ports.get("gateway", 0)
        if metrics_port and self.workers > 1:
            for number in range(1, self.workers + 1):
                check_port_is_free(f"gateway-{number}", metrics_port + number)


def mesh_options(
    settings: LauncherSettings, ports: Mapping[str, int], metrics_ports: Mapping[str, int]
) -> MeshOptions:
    """Returns how to run a mesh, from the settings and the ports by process name."""
    return MeshOptions(
        inference_backend=settings.inference_backend,
        gpu=settings.gpu,
        placement=settings.placement,
        workers=settings.workers,
        replicas=settings.replicas,
        ports=ports,
        metrics_ports=metrics_ports,
        redis_server_path=settings.redis_server_path,
        triton_server_path=settings.triton_server_path,
        submissions=settings.submissions,
        queue_durability=settings.queue_durability,
        keep_queue=settings.keep_queue,
        traces_endpoint=settings.traces_endpoint,
        cache_dir=settings.state_dir.absolute() / "cache",
        transport=settings,
    )
