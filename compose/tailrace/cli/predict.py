"""`tailrace predict`: asks a gateway for one prediction, or for one per line of a file."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tailrace.cli.gateway_options import (
    GatewayOptions,
    MeshName,
    StateDir,
    Target,
    Timeout,
    TlsCa,
    TlsCertificate,
    TlsKey,
    TlsServerName,
)

if TYPE_CHECKING:
    from tailrace.client import Prediction
    from tailrace.runtime.tracing.trace_context import TraceContext
    from tailrace.v1.pipeline_pb2 import PipelineDescription

Output = Literal["table", "json"]


def predict(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    json_text: Annotated[
        str | None, typer.Option("--json", help="The request: a JSON object of fields.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Many requests: a file with a JSON object on each line; - is stdin."),
    ] = None,
    target: Target = None,
    name: MeshName = None,
    timeout: Timeout = "2s",
    output: Annotated[
        Output | None,
        typer.Option(help="How to print one prediction; those of --file are always JSON lines."),
    ] = None,
    pipeline_version: Annotated[
        str, typer.Option(help="Version of the pipeline; the current one by default.")
    ] = "",
    batch_rows: Annotated[
        int, typer.Option(min=1, max=4096, help="With --file: most lines of one message.")
    ] = 256,
    in_flight: Annotated[
        int,
        typer.Option(min=1, max=64, help="With --file: streams at once, each over a connection."),
    ] = 4,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Have every span of this told, and print the trace's id."),
    ] = False,
    state_dir: StateDir = None,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
) -> None:
    """Make predictions.

    In JSON, timestamps are RFC 3339 text, bytes are base64, tensors are nested lists. With
    --file there is one line of JSON per line of the file, in the same order, and the exit
    status is 1 if any of them failed.
    """
    if (json_text is None) == (file is None):
        raise typer.BadParameter("give either --json or --file")
    if file is not None and output == "table":
        raise typer.BadParameter("--output table is for --json; --file prints JSON lines")
    options = GatewayOptions(
        target, name, state_dir, timeout, tls_ca, tls_certificate, tls_key, tls_server_name
    )
    place = _new_trace() if trace else None
    if file is not None:
        from tailrace.cli.predict_file import FileRun, predict_file

        run = FileRun(pipeline, pipeline_version, batch_rows, in_flight, place)
        raise typer.Exit(asyncio.run(predict_file(options, run, file)))
    one = _predict_one(
        options, pipeline, pipeline_version, json_text or "", output or "table", place
    )
    raise typer.Exit(asyncio.run(one))


def _new_trace() -> TraceContext:
    from tailrace.runtime.tracing.trace_context import new_trace

    return new_trace(sampled=True)


async def _predict_one(
    options: GatewayOptions,
    pipeline: str,
    pipeline_version: str,
    text: str,
    output: Output,
    trace: TraceContext | None,
) -> int:
    from tailrace.cli.json_line import parse_json
    from tailrace.client import PredictionError
    from tailrace.client.json_values import error_to_json, fields_from_json, prediction_to_json

    headers = () if trace is None else trace.headers()
    async with options.client(connections=1, metadata=headers) as client:
        try:
            description = await client.describe_pipeline(
                pipeline, pipeline_version=pipeline_version
            )
            fields = fields_from_json(parse_json(text), description.request_fields)
            prediction = await client.predict(pipeline, fields, pipeline_version=pipeline_version)
        except PredictionError as error:
            if trace is not None:
                error.trace_id = trace.trace_id
            if output == "json":
                print(json.dumps({"error": error_to_json(error)}, indent=2, ensure_ascii=False))
            else:
                print(f"tailrace predict: {error}", file=sys.stderr)
            return 1
    if output == "json":
        document = prediction_to_json(prediction)
        if trace is not None:
            document["trace_id"] = trace.trace_id
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print_table(prediction, description)
        if trace is not None:
            print(f"\ntrace {trace.trace_id}")
    return 0


def _print_table(prediction: Prediction, description: PipelineDescription) -> None:
    from rich.console import Console

    from tailrace.cli.prediction_table import prediction_lines
    from tailrace.cli.waterfall import render_waterfall

    console = Console(highlight=False)
    for line in prediction_lines(prediction, description):
        console.print(line, soft_wrap=True)
    console.print()
    for text in render_waterfall(prediction.ledger):
        console.print(text, soft_wrap=True, markup=False)
