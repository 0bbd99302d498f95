"""The model's input matrix, made as the mesh makes it.

Ingest steps and the assembly of the input are the services' own code. Static features are looked up
in the tables that the store is loaded from, windowed ones are computed from the events.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preparation.lookup import look_up
from preparation.windowed import windowed_features
from tailrace.inference.assembly import InputAssembler
from tailrace.ingest.offline import ingest_columns
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Columns, column_block
from tailrace.runtime.pipeline.directory import DirectoryContent, load_directory
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.view_plan import InstantSource, KeySource

Matrix = NDArray[np.float32]


def load_example(pipelines: Path) -> DirectoryContent:
    """Returns the pipelines of a directory, with the views and the event types beside it.

    Raises:
        SpecError: one of the files cannot be used.
    """
    content = load_directory(pipelines)
    for error in content.errors.values():
        raise error
    return content


def model_columns(pipeline: Pipeline) -> list[str]:
    """Returns the names of the matrix's columns, in order."""
    return pipeline.spec.model.inputs[0].source_columns()


def feature_matrix(
    pipeline: Pipeline,
    requests: pd.DataFrame,
    views: Mapping[str, pd.DataFrame],
    types: Mapping[str, EventType],
    events: Mapping[str, pd.DataFrame],
) -> Matrix:
    """Returns what the model is given for these requests, float32[requests, model columns].

    Args:
        pipeline: whose ingest steps, views and column order to use.
        requests: one column per request field, times as UTC instants; other columns are left out.
        views: the table of each static view, key and feature columns.
        types: the event types that windowed views are made of, by name.
        events: the events of each type, as `preparation.events` returns them.

    Raises:
        BadRow: the mesh would refuse one of the requests.
        HistoryFailed: the events do not fit the views.
    """
    fields = {name: _values(requests[name]) for name in pipeline.spec.request.fields}
    columns = ingest_columns(pipeline, fields)
    found: dict[str, NDArray[Any]] = {}
    windowed = []
    sources: dict[str, NDArray[Any]] = {}
    for plan in pipeline.views:
        of_plan = {source.column: _source(source, fields, columns) for source in plan.sources()}
        if plan.view.kind == "windowed":
            windowed.append(plan)
            sources |= of_plan
        else:
            found |= look_up(plan, list(of_plan.values()), views[plan.view.view])
    found |= windowed_features(windowed, sources, types, events)
    dtypes = {column.name: column.dtype for plan in pipeline.views for column in plan.columns()}
    columns.extend(column_block(name, dtypes[name], values) for name, values in found.items())
    rows = Rows([""] * columns.rows, [0] * columns.rows)
    assembler = InputAssembler(pipeline.spec.model.inputs)
    assembled = assembler.assemble(columns, rows.live(), rows)
    for error in rows.failures.values():
        raise error
    matrix: Matrix = assembled.tensors[pipeline.spec.model.inputs[0].name]
    return matrix


def _values(column: pd.Series[Any]) -> NDArray[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.as_unit("us").astype("int64")
    values: NDArray[Any] = column.to_numpy()
    return values.astype(object) if isinstance(column.dtype, pd.StringDtype) else values


def _source(
    source: KeySource | InstantSource, fields: Mapping[str, NDArray[Any]], ingest: Columns
) -> NDArray[Any]:
    return fields[source.name] if source.origin == "request" else ingest[source.name]
