"""What Prometheus is to scrape of a mesh, as its file-based service discovery reads it.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tailrace.cli.local.ports import LOOPBACK

if TYPE_CHECKING:
    from tailrace.cli.local.state import MeshState

TARGETS_FILE = "prometheus-targets.json"


def scrape_targets(state: MeshState) -> str:
    """Returns the file's text: one target for each process of a mesh that has metrics.

    Labels: `job`, `tailrace` or `triton`; `service`, such as `gateway`, whichever of its workers
    or replicas it is; `instance`, the name of the process; `mesh`, the name of the mesh.

    Args:
        state: the mesh.
    """
    tritons = {triton.target for triton in state.tritons}
    targets = []
    for process in state.processes:
        if process.metrics_port is None:
            continue
        is_triton = f"{LOOPBACK}:{process.grpc_port}" in tritons
        labels = {
            "job": "triton" if is_triton else "tailrace",
            "service": _service(process.name),
            "instance": process.name,
            "mesh": state.mesh,
        }
        target = f"{LOOPBACK}:{process.metrics_port}"
        targets.append({"targets": [target], "labels": labels})
    return json.dumps(targets, indent=2) + "\n"


def _service(name: str) -> str:
    """Returns the service of a process: `gateway-2` is a worker or replica of `gateway`."""
    service, _, number = name.rpartition("-")
    return service if number.isdigit() else name
