"""`tailrace callbacks`: registers callbacks and looks after what is pushed to them."""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from tailrace.cli.callback_table import (
    print_attempts,
    print_callbacks,
    print_dead_letters,
    print_history,
    print_registered,
)
from tailrace.cli.documents import print_document
from tailrace.cli.gateway_command import gateway_command
from tailrace.cli.submit import seconds_of
from tailrace.client import AsyncClient, Callback, CallbackSpec, NotFound, SignatureScheme

app = typer.Typer(
    help="Register callbacks, and look after what is pushed to them.",
    no_args_is_help=True,
    add_completion=False,
)


class SchemeName(enum.StrEnum):
    """Signature schemes as the command line names them."""

    HMAC = "hmac"
    ED25519 = "ed25519"

    @property
    def scheme(self) -> SignatureScheme:
        """The scheme."""
        hmac = self is SchemeName.HMAC
        return SignatureScheme.HMAC_SHA256 if hmac else SignatureScheme.ED25519


CallbackName = Annotated[str, typer.Argument(metavar="CALLBACK", help="Name of the callback.")]
Tenant = Annotated[str, typer.Option(help="Whose it is; nobody's by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AttemptTimeout = Annotated[
    str | None, typer.Option(help="Longest that an attempt may take, such as 5s.")
]
MaxInFlight = Annotated[int | None, typer.Option(min=0, help="Most messages in flight.")]
MaxBatch = Annotated[
    int | None, typer.Option(min=0, help="Most deliveries of a message; gRPC only.")
]
Ordered = Annotated[
    bool | None,
    typer.Option("--ordered/--unordered", help="Keep the order of results with one ordering key."),
]
SecretFile = Annotated[
    typer.FileText | None,
    typer.Option(help="File with the secret to sign with, - for stdin; one is made by default."),
]
OfCallback = Annotated[str, typer.Option("--callback", help="Only those for this callback.")]
OfTenant = Annotated[str, typer.Option("--tenant", help="Only those of this tenant.")]
OfPipeline = Annotated[str, typer.Option("--pipeline", help="Only those of this pipeline.")]
OfReason = Annotated[str, typer.Option("--reason", help="Only those with this reason.")]


@gateway_command(app, "callbacks register")
async def register(
    client: AsyncClient,
    callback: CallbackName,
    to: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="Where to push: https://…, grpcs://HOST:PORT or grpc://…"
        ),
    ],
    signature: Annotated[
        SchemeName, typer.Option(help="How to sign: by a shared secret, or by a key pair.")
    ] = SchemeName.HMAC,
    secret_file: SecretFile = None,
    attempt_timeout: AttemptTimeout = None,
    max_in_flight: MaxInFlight = None,
    max_batch: MaxBatch = None,
    ordered: Ordered = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> int:
    """Register a callback. A secret that is made for it is shown this once."""
    spec = _changed(
        CallbackSpec(target=to, scheme=signature.scheme),
        attempt_timeout,
        max_in_flight,
        max_batch,
        ordered,
    )
    registered = await client.callbacks.register(
        callback, spec, secret=_secret(secret_file), tenant=tenant
    )
    if as_json:
        print_document(registered)
    else:
        print_registered(Console(highlight=False), registered)
    return 0


@gateway_command(app, "callbacks update")
async def update(
    client: AsyncClient,
    callback: CallbackName,
    to: Annotated[str | None, typer.Option("--to", help="Another URL to push to.")] = None,
    attempt_timeout: AttemptTimeout = None,
    max_in_flight: MaxInFlight = None,
    max_batch: MaxBatch = None,
    ordered: Ordered = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> int:
    """Change what is named of a callback; the rest stays as it is."""
    if (to, attempt_timeout, max_in_flight, max_batch, ordered) == (None,) * 5:
        raise typer.BadParameter("name what to change")
    found = await client.callbacks.list_all(tenant=tenant)
    now = next((each for each in found if each.name == callback), None)
    if now is None:
        raise NotFound(f"no callback {callback!r}", reason="CALLBACK_NOT_FOUND")
    spec = now.spec if to is None else replace(now.spec, target=to)
    spec = _changed(spec, attempt_timeout, max_in_flight, max_batch, ordered)
    return _print_one(await client.callbacks.update(callback, spec, tenant=tenant), as_json)


@gateway_command(app, "callbacks enable")
async def enable(
    client: AsyncClient, callback: CallbackName, tenant: Tenant = "", as_json: AsJson = False
) -> int:
    """Enable a callback that was disabled."""
    return _print_one(await client.callbacks.enable(callback, tenant=tenant), as_json)


@gateway_command(app, "callbacks disable")
async def disable(
    client: AsyncClient, callback: CallbackName, tenant: Tenant = "", as_json: AsJson = False
) -> int:
    """Disable a callback: what is to be delivered to it becomes a dead letter."""
    return _print_one(await client.callbacks.disable(callback, tenant=tenant), as_json)


@gateway_command(app, "callbacks delete")
async def delete(client: AsyncClient, callback: CallbackName, tenant: Tenant = "") -> int:
    """Delete a callback: what is to be delivered to it becomes a dead letter."""
    await client.callbacks.delete(callback, tenant=tenant)
    return 0


@gateway_command(app, "callbacks list")
async def list_callbacks(
    client: AsyncClient,
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    as_json: AsJson = False,
) -> int:
    """List callbacks, without their secrets."""
    found = await client.callbacks.list_all(tenant=tenant)
    if as_json:
        print_document(found)
    else:
        print_callbacks(Console(highlight=False), found)
    return 0


@gateway_command(app, "callbacks test")
async def test(
    client: AsyncClient, callback: CallbackName, tenant: Tenant = "", as_json: AsJson = False
) -> int:
    """Send a signed ping; the exit status is 1 unless it is confirmed."""
    attempt = await client.callbacks.test(callback, tenant=tenant)
    if as_json:
        print_document(attempt)
    else:
        print_attempts(Console(highlight=False), [attempt])
    return 0 if attempt.delivered else 1


@gateway_command(app, "callbacks rotate")
async def rotate(
    client: AsyncClient,
    callback: CallbackName,
    secret_file: SecretFile = None,
    overlap: Annotated[
        str | None,
        typer.Option(
            help="How long the old secret signs, too, such as 24h, the default. "
            "One from before it stops at once."
        ),
    ] = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> int:
    """Give a callback a new secret. One that is made is shown this once."""
    registered = await client.callbacks.rotate(
        callback,
        secret=_secret(secret_file),
        overlap_s=None if overlap is None else seconds_of(overlap, "--overlap"),
        tenant=tenant,
    )
    if as_json:
        print_document(registered)
    else:
        print_registered(Console(highlight=False), registered)
    return 0


@gateway_command(app, "callbacks attempts")
async def attempts(
    client: AsyncClient,
    prediction_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the prediction.")],
    as_json: AsJson = False,
) -> int:
    """Tell how the delivery of a prediction stands, and list its attempts."""
    history = await client.callbacks.attempts(prediction_id)
    if as_json:
        print_document(history)
    else:
        print_history(Console(highlight=False), history)
    return 0


@gateway_command(app, "callbacks dead")
async def dead(
    client: AsyncClient,
    callback: OfCallback = "",
    tenant: OfTenant = "",
    pipeline: OfPipeline = "",
    reason: OfReason = "",
    limit: Annotated[int, typer.Option(min=1, help="Most to list.")] = 100,
    as_json: AsJson = False,
) -> int:
    """List dead letters: what could not be delivered, or not be run."""
    found = []
    letters = client.callbacks.dead_letters(
        tenant=tenant, callback=callback, pipeline=pipeline, reason=reason
    )
    async for letter in letters:
        found.append(letter)
        if len(found) == limit:
            break
    if as_json:
        print_document(found)
    else:
        print_dead_letters(Console(highlight=False), found)
    return 0


@gateway_command(app, "callbacks redrive")
async def redrive(
    client: AsyncClient,
    prediction_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of one prediction.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that the options below let through.")
    ] = False,
    callback: OfCallback = "",
    tenant: OfTenant = "",
    pipeline: OfPipeline = "",
    reason: OfReason = "",
) -> int:
    """Try dead letters again: one, which may also wait to be tried, or all that are so now."""
    if (prediction_id is not None) == everything:
        raise typer.BadParameter("give either an ID or --all")
    if prediction_id is not None:
        if callback or tenant or pipeline or reason:
            raise typer.BadParameter("an ID says all; the other options are for --all")
        count = await client.callbacks.redrive(prediction_id)
    else:
        count = await client.callbacks.redrive_all(
            tenant=tenant, callback=callback, pipeline=pipeline, reason=reason
        )
    print(f"{count} redriven")
    return 0


def _changed(
    spec: CallbackSpec,
    attempt_timeout: str | None,
    max_in_flight: int | None,
    max_batch: int | None,
    ordered: bool | None,
) -> CallbackSpec:
    if attempt_timeout is not None:
        spec = replace(spec, attempt_timeout_s=seconds_of(attempt_timeout, "--attempt-timeout"))
    if max_in_flight is not None:
        spec = replace(spec, max_in_flight=max_in_flight)
    if max_batch is not None:
        spec = replace(spec, max_batch=max_batch)
    return spec if ordered is None else replace(spec, ordered=ordered)


def _secret(file: typer.FileText | None) -> str:
    # Not an option of its own: command lines are seen by other users, and kept in histories.
    return "" if file is None else file.read().strip()


def _print_one(callback: Callback, as_json: bool) -> int:
    if as_json:
        print_document(callback)
    else:
        print_callbacks(Console(highlight=False), [callback])
    return 0
