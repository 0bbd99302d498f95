"""Commands that ask about views: each has the same options for where the answers come from."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tailrace.cli import feature_options, gateway_options
from tailrace.cli.features_source import SourceOptions, open_source
from tailrace.cli.gateway_options import GatewayOptions

Command = Callable[..., Awaitable[int]]

Target = Annotated[
    str | None,
    typer.Option(help="Where a feature service listens, such as 127.0.0.1:50062."),
]
RedisUrl = Annotated[
    str | None,
    typer.Option(help="Read files and this Redis; by default TAILRACE_FEATURE_REDIS_URL."),
]
ViewsDir = Annotated[
    Path | None,
    typer.Option(
        help="Read files and Redis, without a feature service: the folder of the view files; by "
        "default `features` beside TAILRACE_PIPELINES_DIR.",
    ),
]

_OF_SERVICE: dict[str, tuple[Any, Any]] = {
    "target": (Target, None),
    "name": (gateway_options.MeshName, None),
    "state_dir": (gateway_options.StateDir, None),
    "timeout": (gateway_options.Timeout, "10s"),
    "tls_ca": (gateway_options.TlsCa, None),
    "tls_certificate": (gateway_options.TlsCertificate, None),
    "tls_key": (gateway_options.TlsKey, None),
    "tls_server_name": (gateway_options.TlsServerName, None),
}
_OF_FILES: dict[str, tuple[Any, Any]] = {
    "redis_url": (RedisUrl, None),
    "views_dir": (ViewsDir, None),
}
_SHARED = {**_OF_SERVICE, **_OF_FILES, "as_json": (feature_options.AsJson, False)}


def features_command(
    app: typer.Typer, name: str, function: Command, *, hidden: bool = False
) -> None:
    """Makes a command of a coroutine function.

    Its first three parameters are a `Registry`, what to call it, and whether to print JSON; the
    others are its own arguments and options, to which the shared ones are added. It returns the
    exit status.

    Args:
        app: gets the command.
        name: of the command.
        function: does its work.
        hidden: whether the help leaves it out.
    """
    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[3:]
    shared = [
        inspect.Parameter(
            option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for option, (annotation, default) in _SHARED.items()
    ]

    def command(**given: Any) -> None:
        service = GatewayOptions(**{option: given.pop(option) for option in _OF_SERVICE})
        options = SourceOptions(service, **{option: given.pop(option) for option in _OF_FILES})
        as_json: bool = given.pop("as_json")
        raise typer.Exit(asyncio.run(_run(options, as_json, function, given)))

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + shared
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as typer reads it
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = function.__doc__
    app.command(name, hidden=hidden)(command)


async def _run(options: SourceOptions, as_json: bool, function: Command, given: Any) -> int:
    async with open_source(options) as (registry, place):
        return await function(registry, place, as_json, **given)
