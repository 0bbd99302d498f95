"""The model's input matrix, made as the mesh makes it.

Ingest steps and the assembly of the input are the services' own code. Features are looked up in
the tables that the store is loaded from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preparation.lookup import look_up
from tailrace.inference.assembly import InputAssembler
from tailrace.ingest.offline import ingest_columns
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Columns, column_block
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import KeySource, Pipeline

Matrix = NDArray[np.float32]


def load_flight_pipeline(pipelines: Path, name: str) -> Pipeline:
    """Returns a pipeline of a directory.

    Raises:
        SpecError: one of the directory's files cannot be used.
        KeyError: none of them is the pipeline.
    """
    content = load_directory(pipelines)
    for error in content.errors.values():
        raise error
    return content.pipelines[name]


def model_columns(pipeline: Pipeline) -> list[str]:
    """Returns the names of the matrix's columns, in order."""
    return pipeline.spec.model.inputs[0].source_columns()


def feature_matrix(
    pipeline: Pipeline, requests: pd.DataFrame, views: Mapping[str, pd.DataFrame]
) -> Matrix:
    """Returns what the model is given for these requests, float32[requests, model columns].

    Args:
        pipeline: whose ingest steps, views and column order to use.
        requests: one column per request field, times as UTC instants; other columns are left out.
        views: the table of each view, key and feature columns.

    Raises:
        BadRow: the mesh would refuse one of the requests.
    """
    fields = {name: _values(requests[name]) for name in pipeline.spec.request.fields}
    columns = ingest_columns(pipeline, fields)
    for plan in pipeline.views:
        keys = [_key(source, fields, columns) for source in plan.keys]
        dtypes = {column.name: column.dtype for column in plan.columns()}
        found = look_up(plan, keys, views[plan.view.view])
        columns.extend(column_block(name, dtypes[name], found[name]) for name in found)
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


def _key(source: KeySource, fields: Mapping[str, NDArray[Any]], ingest: Columns) -> NDArray[Any]:
    return fields[source.name] if source.origin == "request" else ingest[source.name]
