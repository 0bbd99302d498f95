"""The Redis that holds a local mesh's submissions, and what the mesh's processes are told of it."""

from __future__ import annotations

import json

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.mesh_options import MeshOptions

QUEUE_REDIS = "queue-redis"

# Receivers of a mesh on one machine are on that machine, too, and have no certificates.
_LOOPBACK = ("127.0.0.0/8", "::1/128")


def queue_server(folder: MeshFolder, options: MeshOptions) -> LocalRedis:
    """Returns the server, to be started.

    What it writes is in the mesh's folder and goes with it, unless it is to be kept: then it is in
    a folder of its own beside those of the meshes, by the mesh's name.

    Args:
        folder: of the mesh.
        options: how to run it.
    """
    own = folder.path / "queue"
    own.mkdir(mode=0o700, exist_ok=True)
    data = folder.kept_queue_path if options.keep_queue else own
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LocalRedis(
        log_path=folder.path / f"{QUEUE_REDIS}.log",
        server_path=options.redis_server_path,
        port=options.ports.get(QUEUE_REDIS, 0),
        socket_dir=own,
        data_dir=data,
        append_only=options.queue_durability != "none",
        append_fsync="always" if options.queue_durability == "always" else "everysec",
        name=QUEUE_REDIS,
    )


def queue_settings(server: LocalRedis, options: MeshOptions) -> dict[str, str]:
    """Returns the settings of gateway, dispatcher and courier."""
    return {
        "TAILRACE_QUEUE_REDIS_URL": server.url,
        "TAILRACE_QUEUE_DURABILITY": options.queue_durability,
        "TAILRACE_CALLBACK_ALLOWED_NETWORKS": json.dumps(_LOOPBACK),
        "TAILRACE_CALLBACK_ALLOW_PLAINTEXT": "true",
    }
