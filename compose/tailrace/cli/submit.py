"""`tailrace submit`: submits one prediction, or one per line of a file."""

from __future__ import annotations

import dataclasses
import enum
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tailrace.cli.gateway_command import gateway_command
from tailrace.client import AsyncClient, Fields, PredictionError, Priority, Submission

if TYPE_CHECKING:
    from tailrace.client import StoredPrediction
    from tailrace.v1.pipeline_pb2 import PipelineDescription

app = typer.Typer(add_completion=False)

Output = Literal["table", "json"]

_PER_MESSAGE = 256


class PriorityName(enum.StrEnum):
    """Priorities as the command line names them."""

    CRITICAL = "critical"
    NORMAL = "normal"
    SHEDDABLE = "sheddable"
    BACKGROUND = "background"


@gateway_command(app, "submit")
async def submit(
    client: AsyncClient,
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    json_text: Annotated[
        str | None, typer.Option("--json", help="The request: a JSON object of fields.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Many requests: a file with a JSON object on each line; - is stdin."),
    ] = None,
    callback: Annotated[
        str | None, typer.Option(help="Name of the registered callback to push the result to.")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            help="Submissions with the same key are one. With --file, line N has KEY:N, so that "
            "the same command can be given again; --not-after is a time then."
        ),
    ] = None,
    not_after: Annotated[
        str | None,
        typer.Option(
            help="When the result becomes worthless: a time such as 2026-01-31T12:00:00Z, or from "
            "now on, such as 10m."
        ),
    ] = None,
    ordering_key: Annotated[
        str, typer.Option(help="Ordered callbacks get results with the same key in order.")
    ] = "",
    priority: Annotated[
        PriorityName, typer.Option(help="How important it is among submissions.")
    ] = PriorityName.NORMAL,
    tenant: Annotated[str, typer.Option(help="Whom it is made for.")] = "",
    pipeline_version: Annotated[
        str, typer.Option(help="Version of the pipeline; the current one by default.")
    ] = "",
    wait: Annotated[
        str | None, typer.Option(help="With --json: wait for the result, such as 10s at most.")
    ] = None,
    output: Annotated[
        Output | None,
        typer.Option(help="How to print one submission; those of --file are always JSON lines."),
    ] = None,
) -> int:
    """Submit predictions: the id comes at once, the result later.

    While the gateway is unavailable it is asked again, within --timeout.
    """
    from tailrace.cli.json_line import parse_json
    from tailrace.client.json_values import fields_from_json

    if (json_text is None) == (file is None):
        raise typer.BadParameter("give either --json or --file")
    if file is not None and output == "table":
        raise typer.BadParameter("--output table is for --json; --file prints JSON lines")
    if file is not None and wait is not None:
        raise typer.BadParameter("--wait is for --json; see `tailrace submissions watch`")
    limit, moves = (None, False) if not_after is None else _instant(not_after)
    if moves and idempotency_key is not None:
        raise typer.BadParameter(
            "--idempotency-key needs a time for --not-after: a duration from now on makes it "
            "another submission each time, which is refused under the same key"
        )
    wait_s = None if wait is None else seconds_of(wait, "--wait")
    description = await client.describe_pipeline(pipeline, pipeline_version=pipeline_version)
    template = Submission(
        pipeline=pipeline,
        fields={},
        callback=callback,
        idempotency_key=idempotency_key,
        not_after=limit,
        ordering_key=ordering_key,
        priority=Priority[priority.name],
        tenant=tenant,
        pipeline_version=pipeline_version,
    )
    if file is not None:
        return await _submit_file(client, template, description, file)
    fields = fields_from_json(parse_json(json_text or ""), description.request_fields)
    parts = {field.name: getattr(template, field.name) for field in dataclasses.fields(template)}
    outcome = await client.submit(**parts | {"fields": fields})
    if wait_s is not None:
        try:
            stored = await client.get_submission(outcome.id, wait=wait_s, tenant=tenant)
        except BaseException:  # also Ctrl-C: whoever stops waiting has to know what for
            print(f"tailrace submit: it is submitted, as {outcome.id}", file=sys.stderr)
            raise
        print_stored(stored, description, output == "json")
        return 0 if stored.state.name == "SUCCEEDED" else 1
    if output == "json":
        from tailrace.cli.documents import print_document

        print_document(outcome)
    else:
        already = "  submitted before" if outcome.already_submitted else ""
        print(f"{outcome.id}  {outcome.state.name}{already}")
    return 0


def print_stored(
    stored: StoredPrediction, description: PipelineDescription | None, as_json: bool
) -> None:
    """Prints a submission with its outcome.

    Args:
        stored: the submission.
        description: of its pipeline, for the order and units of the values; None if not known.
        as_json: whether as JSON.
    """
    from rich.console import Console

    from tailrace.cli.documents import print_document
    from tailrace.cli.prediction_table import prediction_lines
    from tailrace.cli.submission_table import submission_lines
    from tailrace.client import Prediction
    from tailrace.v1.pipeline_pb2 import PipelineDescription

    if as_json:
        print_document(stored)
        return
    console = Console(highlight=False)
    for line in submission_lines(stored):
        console.print(line, soft_wrap=True, markup=False)
    if isinstance(stored.outcome, Prediction):
        for line in prediction_lines(stored.outcome, description or PipelineDescription()):
            console.print(line, soft_wrap=True)
    elif stored.outcome is not None:
        console.print(f"  {stored.outcome}", soft_wrap=True, markup=False)


def seconds_of(text: str, option: str) -> float:
    """Returns a duration such as `10s` in seconds. Raises typer.BadParameter."""
    from tailrace.runtime.pipeline.duration import parse_duration

    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error


async def _submit_file(
    client: AsyncClient, template: Submission, description: PipelineDescription, file: Path
) -> int:
    from tailrace.cli.documents import document, print_line
    from tailrace.cli.row_lines import batches, lines_of, parse_row

    accepted = failures = 0
    async with lines_of(file) as lines:
        async for batch in batches(lines, _PER_MESSAGE):
            rows = [(number, parse_row(line, description.request_fields)) for number, line in batch]
            outcomes = iter(
                await client.submit_many(
                    _of_line(template, number, row)
                    for number, row in rows
                    if not isinstance(row, PredictionError)
                )
            )
            for number, row in rows:
                outcome = row if isinstance(row, PredictionError) else next(outcomes)
                failures += isinstance(outcome, PredictionError)
                accepted += not isinstance(outcome, PredictionError)
                print_line({"line": number, **document(outcome)})
    print(f"tailrace submit: {accepted} submitted, {failures} failures", file=sys.stderr)
    return 1 if failures else 0


def _of_line(template: Submission, number: int, fields: Fields) -> Submission:
    key = template.idempotency_key
    return dataclasses.replace(
        template, fields=fields, idempotency_key=None if key is None else f"{key}:{number}"
    )


def _instant(text: str) -> tuple[datetime, bool]:
    """Returns the time that is meant, and whether it was told from now on."""
    from tailrace.runtime.pipeline.duration import parse_duration

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.now(UTC) + parse_duration(text), True
        except (ValueError, OverflowError):
            raise typer.BadParameter(
                f"--not-after: found {text!r}, expected a time such as 2026-01-31T12:00:00Z, or a "
                "duration such as 10m"
            ) from None
    if moment.tzinfo is None:
        raise typer.BadParameter("--not-after: a time needs its offset, such as Z")
    return moment, False
