"""Which gateway a command talks to, and how: the options that such commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.cli.local.errors import LaunchError

if TYPE_CHECKING:
    import grpc.aio

    from tailrace.cli.local.state import MeshState
    from tailrace.client import AsyncClient, AsyncEventClient, Tls

Target = Annotated[
    str | None,
    typer.Option(help="Where the gateway listens, such as 127.0.0.1:50050; or give --name."),
]
MeshName = Annotated[
    str | None,
    typer.Option(
        "--name", help="A mesh on this machine; may be left out, with --target, where one is up."
    ),
]
StateDir = Annotated[
    Path | None, typer.Option(help="Folder with the state files of meshes; .tailrace by default.")
]
Timeout = Annotated[
    str, typer.Option(help="Deadline of a call: a number with its unit, such as 500ms, 2s or 1m.")
]
TlsCa = Annotated[
    Path | None, typer.Option(help="PEM file of who signs the gateway; switches TLS on.")
]
TlsCertificate = Annotated[Path | None, typer.Option(help="PEM file of this caller.")]
TlsKey = Annotated[Path | None, typer.Option(help="PEM file of its private key.")]
TlsServerName = Annotated[
    str | None, typer.Option(help="Name in the gateway's certificate, where not its host name.")
]


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """What the options said.

    Attributes:
        target: where the gateway listens, or None.
        name: name of a mesh on this machine, or None.
        state_dir: folder with the state files, or None for the usual one.
        timeout: deadline of a call, as text.
        tls_ca: PEM file, or None.
        tls_certificate: PEM file, or None.
        tls_key: PEM file, or None.
        tls_server_name: name in the gateway's certificate, or None.
    """

    target: str | None
    name: str | None
    state_dir: Path | None
    timeout: str
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_server_name: str | None = None

    def client(self, connections: int = 1, metadata: Sequence[tuple[str, str]] = ()) -> AsyncClient:
        """Returns a client of the gateway.

        Args:
            connections: how many it opens.
            metadata: what it sends with every call.

        Raises:
            LaunchError: no such mesh is up, several are, or the one that was is gone.
            typer.BadParameter: a timeout that is none, or TLS options that do not fit together.
        """
        from tailrace.client import AsyncClient

        return AsyncClient(
            self.address("gateway"),
            timeout=timeout_s(self.timeout),
            tls=self._tls(),
            connections=connections,
            metadata=metadata,
        )

    def event_client(self) -> AsyncEventClient:
        """Returns a client of the event service. Raises as `client`."""
        from tailrace.client import AsyncEventClient

        return AsyncEventClient(self.address("events"), tls=self._tls())

    def channel(self, target: str) -> grpc.aio.Channel:
        """Returns a channel for stubs of a service that has no client; close it.

        Args:
            target: where it listens, as `address` says.

        Raises:
            typer.BadParameter: TLS options that do not fit together.
        """
        import grpc.aio

        from tailrace.client.transport import DEFAULT_MAX_MESSAGE_BYTES, Transport

        transport = Transport(target, self._tls(), 1, DEFAULT_MAX_MESSAGE_BYTES)
        credentials = transport.credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(target, transport.options())
        return grpc.aio.secure_channel(target, credentials, transport.options())

    def address(self, process: str) -> str:
        """Returns where a service listens: the target that was given, or a process of the mesh.

        Args:
            process: name of the process, such as `gateway`.

        Raises:
            LaunchError: no such mesh is up, several are, or the one that was is gone.
            typer.BadParameter: a target and a name.
        """
        if self.target and self.name:
            raise typer.BadParameter("give --target or --name, not both")
        return self.target or mesh_address(self.mesh(), process)

    def mesh(self) -> MeshState:
        """Returns the mesh of that name; without a name, the only one that is up.

        Raises:
            LaunchError: no such mesh is up, several are, or the one that was is gone.
        """
        from tailrace.cli.local.state import StateMissing, read_state
        from tailrace.cli.mesh_folder import MeshUnknown, find_mesh

        try:
            folder = find_mesh(state_directory(self.state_dir), self.name)
            state = read_state(folder.state_path)
        except (MeshUnknown, StateMissing) as error:
            raise LaunchError(f"{error}, or name its address: --target HOST:PORT") from error
        if state.stale:
            raise LaunchError(f"the mesh {state.mesh!r} is gone: its `tailrace up` no longer runs")
        return state

    def _tls(self) -> Tls | None:
        from tailrace.client import Tls

        if not (self.tls_ca or self.tls_certificate or self.tls_key):
            return None
        try:
            return Tls.from_files(
                ca=self.tls_ca,
                certificate=self.tls_certificate,
                key=self.tls_key,
                server_name=self.tls_server_name,
            )
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"unusable TLS options: {error}") from error


def timeout_s(text: str, option: str = "--timeout") -> float:
    """Returns the timeout that an option says, in seconds.

    Raises:
        typer.BadParameter: it is none.
    """
    from tailrace.runtime.pipeline.duration import parse_duration

    try:
        seconds = parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error
    if seconds <= 0:
        raise typer.BadParameter(f"{option} has to be above zero")
    return seconds


def mesh_address(mesh: MeshState, process: str) -> str:
    """Returns where a process of a mesh listens.

    Raises:
        LaunchError: the mesh has no such process.
    """
    try:
        port = mesh.process(process).grpc_port
    except KeyError:
        port = None
    if port is None:
        raise LaunchError(f"the mesh {mesh.mesh!r} has no process {process!r}")
    return f"127.0.0.1:{port}"


def state_directory(chosen: Path | None) -> Path:
    """Returns the folder with the state files of meshes: the one chosen, or that of the settings.

    Raises:
        SettingsError: settings that cannot be used.
    """
    from tailrace.runtime.config import LauncherSettings, load_settings

    overrides = {} if chosen is None else {"state_dir": chosen}
    return load_settings(LauncherSettings, **overrides).state_dir
