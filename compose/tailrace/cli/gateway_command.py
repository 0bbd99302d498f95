"""Commands that ask a gateway: each has the same options for it."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import typer

from tailrace.cli import gateway_options
from tailrace.cli.gateway_options import GatewayOptions
from tailrace.client import PredictionError

Command = Callable[..., Awaitable[int]]

_SHARED: dict[str, tuple[Any, Any]] = {
    "target": (gateway_options.Target, None),
    "name": (gateway_options.MeshName, None),
    "timeout": (gateway_options.Timeout, "5s"),
    "state_dir": (gateway_options.StateDir, None),
    "tls_ca": (gateway_options.TlsCa, None),
    "tls_certificate": (gateway_options.TlsCertificate, None),
    "tls_key": (gateway_options.TlsKey, None),
    "tls_server_name": (gateway_options.TlsServerName, None),
}


def gateway_command(app: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Makes a command of a coroutine function.

    Its first parameter is an open `AsyncClient`; the others are its own arguments and options, to
    which those of `GatewayOptions` are added. It returns the exit status; a PredictionError is told
    in a line, with exit status 1.

    Args:
        app: gets the command.
        name: of the command, in full, such as `submissions get`.
    """

    def decorate(function: Command) -> Command:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        shared = [
            inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
            for option, (annotation, default) in _SHARED.items()
        ]

        def command(**given: Any) -> None:
            options = GatewayOptions(**{option: given.pop(option) for option in _SHARED})
            raise typer.Exit(asyncio.run(_run(name, options, function, given)))

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + shared
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as typer reads it
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__doc__ = function.__doc__
        app.command(name.rpartition(" ")[2])(command)
        return function

    return decorate


async def _run(name: str, options: GatewayOptions, function: Command, given: Any) -> int:
    async with options.client() as client:
        try:
            return await function(client, **given)
        except PredictionError as error:
            print(f"tailrace {name}: {error}", file=sys.stderr)
            return 1
