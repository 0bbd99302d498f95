"""`tailrace submissions`: fetches, watches, cancels and lists submitted predictions."""

from __future__ import annotations

import enum
import sys
from typing import Annotated

import typer
from rich.console import Console

from tailrace.cli.documents import document, print_document, print_line
from tailrace.cli.gateway_command import gateway_command
from tailrace.cli.submission_table import delivery_text, instant_text, print_submissions
from tailrace.cli.submit import print_stored, seconds_of
from tailrace.client import AsyncClient, PredictionChange, SubmissionState

app = typer.Typer(
    help="Fetch, watch, cancel and list submitted predictions.",
    no_args_is_help=True,
    add_completion=False,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the prediction.")]
Tenant = Annotated[str, typer.Option(help="Whom it was made for; anybody by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class StateName(enum.StrEnum):
    """States as the command line names them."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def state(self) -> SubmissionState:
        """The state."""
        return SubmissionState[self.name]


@gateway_command(app, "submissions get")
async def get(
    client: AsyncClient,
    prediction_id: Id,
    wait: Annotated[
        str | None, typer.Option(help="Wait for its result, such as 10s at most.")
    ] = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> int:
    """Show a submitted prediction; the exit status is 1 unless it has succeeded."""
    wait_s = None if wait is None else seconds_of(wait, "--wait")
    stored = await client.get_submission(prediction_id, wait=wait_s, tenant=tenant)
    print_stored(stored, None, as_json)
    return 0 if stored.state is SubmissionState.SUCCEEDED else 1


@gateway_command(app, "submissions watch")
async def watch(
    client: AsyncClient,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Only these; it ends when all of them have."),
    ] = None,
    tenant: Tenant = "",
    pipeline: Annotated[str, typer.Option(help="Only those of this pipeline.")] = "",
    state: Annotated[
        list[StateName] | None,
        typer.Option(help="Only changes to this state; all final ones by default. Repeatable."),
    ] = None,
    deliveries: Annotated[
        bool, typer.Option("--deliveries", help="Also changes of the push's state.")
    ] = False,
    position: Annotated[
        str, typer.Option(help="Where an earlier watch stopped; from now on by default.")
    ] = "",
    seconds: Annotated[
        str | None, typer.Option("--for", help="How long to watch, such as 10m.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Tell changes of submitted predictions as they happen, until Ctrl-C.

    At its end it says at which position to resume.
    """
    waited_for = set(ids or ())
    watched = client.watch_submissions(
        ids or (),
        tenant=tenant,
        pipeline=pipeline,
        states=[each.state for each in state or ()],
        deliveries=deliveries,
        outcomes=as_json,
        position=position,
        timeout=None if seconds is None else seconds_of(seconds, "--for"),
    )
    begun = False
    try:
        async with watched:
            begun = True
            async for change in watched:
                _print_change(change, as_json)
                if not deliveries and change.prediction.state.is_final:
                    waited_for.discard(change.prediction.id)
                    if ids and not waited_for:
                        break
    finally:
        if begun and watched.position:
            print(f"resume with --position {watched.position}", file=sys.stderr)
    return 0


@gateway_command(app, "submissions cancel")
async def cancel(
    client: AsyncClient, prediction_id: Id, tenant: Tenant = "", as_json: AsJson = False
) -> int:
    """Cancel a submitted prediction that has no result yet."""
    print_stored(await client.cancel_submission(prediction_id, tenant=tenant), None, as_json)
    return 0


@gateway_command(app, "submissions list")
async def list_submissions(
    client: AsyncClient,
    state: Annotated[StateName, typer.Argument(help="In which state.")],
    tenant: Tenant = "",
    pipeline: Annotated[str, typer.Option(help="Only those of this pipeline.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most to list.")] = 100,
    as_json: AsJson = False,
) -> int:
    """List submitted predictions in a state."""
    found = []
    async for stored in client.list_submissions(state.state, tenant=tenant, pipeline=pipeline):
        found.append(stored)
        if len(found) == limit:
            break
    if as_json:
        print_document(found)
    else:
        print_submissions(Console(highlight=False), found)
    return 0


def _print_change(change: PredictionChange, as_json: bool) -> None:
    if as_json:
        print_line(document(change))
        return
    stored = change.prediction
    told = [
        instant_text(change.changed_at),
        stored.id,
        stored.state.name,
        delivery_text(stored.delivery),
    ]
    print("  ".join(filter(None, told)), flush=True)
