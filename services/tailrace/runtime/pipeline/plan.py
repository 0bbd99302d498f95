"""A pipeline compiled once, when its file is loaded, so that requests do no such work."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.column_kind import Kinds, output_kinds, step_kinds
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.problem import SpecError
from tailrace.runtime.pipeline.references import References
from tailrace.runtime.pipeline.spec import PipelineSpec
from tailrace.runtime.pipeline.view_plan import KeySource, ViewPlan

__all__ = ["BlockLayout", "KeySource", "OutputField", "Pipeline", "ViewPlan", "compile_pipeline"]


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """Columns that leave a hop in one block."""

    dtype: DType
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputField:
    """One field of the prediction, with its type.

    Attributes:
        name: of the field.
        dtype: type of each element.
        row_shape: shape for one row; empty for a scalar.
        unit: as the file says.
        description: as the file says.
        length_of: the request field, a list, that has as many items as this one; `row_shape` is
            that of the longest, and each prediction has a tensor of its own length.
    """

    name: str
    dtype: DType
    row_shape: tuple[int, ...]
    unit: str
    description: str
    length_of: str | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline file, checked against its views and compiled.

    Attributes:
        spec: the file.
        version: exact version: the declared one and a digest of all files involved.
        file: where it was read from.
        views: the views it reads, in order.
        ingest_layout: the columns that ingest hands on, grouped into blocks.
        features_beside_ingest: whether all keys and instants come straight from the request.
        carried_columns: ingest and feature columns that postprocess reads.
        outputs: the fields of the prediction, in order.
        columns: what there is before the model: the columns of ingest and of the views.
    """

    spec: PipelineSpec
    version: str
    file: Path
    views: tuple[ViewPlan, ...]
    ingest_layout: tuple[BlockLayout, ...]
    features_beside_ingest: bool
    carried_columns: tuple[str, ...]
    outputs: tuple[OutputField, ...]
    columns: Kinds

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.spec.pipeline

    def model_columns(self) -> frozenset[str]:
        """Returns the columns that the inference hop reads, lengths of lists included."""
        read = {name for item in self.spec.model.inputs for name in item.source_columns()}
        lengths = {self.columns[name].length for name in read}
        return frozenset(read).union(length for length in lengths if length is not None)


def compile_pipeline(
    spec: PipelineSpec,
    file: Path,
    views: Mapping[str, FeatureView],
    digests: list[str],
    refused_views: Collection[str] = (),
) -> Pipeline:
    """Returns the compiled pipeline.

    Args:
        spec: the pipeline file.
        file: where it was read from.
        views: all views that could be loaded, by name.
        digests: digests of all files that the pipeline is made of.
        refused_views: names of view files that could not be loaded.

    Raises:
        SpecError: a view, key or column that is named is not there.
    """
    references = References(spec, views, refused_views)
    ingest_columns = references.ingest_columns()
    view_plans = references.view_plans()
    feature_columns = references.feature_columns()
    references.check_model_inputs()
    carried = references.carried_columns()
    if references.problems:
        raise SpecError(file, references.problems)
    digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]
    return Pipeline(
        spec=spec,
        version=f"{spec.version}-{digest}",
        file=file,
        views=view_plans,
        ingest_layout=_ingest_layout(spec, ingest_columns, view_plans, carried, feature_columns),
        features_beside_ingest=all(
            source.origin == "request" for plan in view_plans for source in plan.sources()
        ),
        carried_columns=carried,
        outputs=_output_fields(spec, {**ingest_columns, **feature_columns}),
        columns={**ingest_columns, **feature_columns},
    )


def _output_fields(spec: PipelineSpec, earlier: Kinds) -> tuple[OutputField, ...]:
    kinds = {**earlier, **output_kinds(spec.model.outputs)}
    for step in spec.postprocess.steps:
        kinds.update(step_kinds(step, kinds))
    fields = []
    for output in spec.postprocess.outputs:
        kind = kinds[output.source]
        shape = kind.row_shape or ()
        if output.length_of is not None and (not shape or shape[1:] == (1,)):
            shape = shape[:1] or (1,)
        fields.append(
            OutputField(
                output.name, kind.dtype, shape, output.unit, output.description, output.length_of
            )
        )
    return tuple(fields)


def _ingest_layout(
    spec: PipelineSpec,
    ingest_columns: Kinds,
    views: tuple[ViewPlan, ...],
    carried: tuple[str, ...],
    feature_columns: Kinds,
) -> tuple[BlockLayout, ...]:
    # A column that only one model input reads leaves ingest in that input's own type and order,
    # so that the inference hop copies a whole block at once.
    kept_as_is = {name for name in carried if name in ingest_columns}
    kept_as_is |= {
        source.name for plan in views for source in plan.sources() if source.origin == "ingest"
    }
    kept_as_is |= {
        key.length
        for plan in views
        for key in plan.keys
        if key.origin == "ingest" and key.length is not None
    }
    readers: dict[str, set[DType]] = {}
    for model_input in spec.model.inputs:
        for name in model_input.source_columns():
            length = (ingest_columns.get(name) or feature_columns[name]).length
            if length is not None:
                kept_as_is.add(length)
            if name in ingest_columns:
                readers.setdefault(name, set()).add(model_input.dtype)
    groups: dict[DType, list[str]] = {}
    singles: list[BlockLayout] = []
    for name in [*readers, *(kept for kept in sorted(kept_as_is) if kept not in readers)]:
        dtypes = readers.get(name, set())
        convert = name not in kept_as_is and len(dtypes) == 1
        dtype = next(iter(dtypes)) if convert else ingest_columns[name].dtype
        if ingest_columns[name].row_shape != ():
            singles.append(BlockLayout(dtype, (name,)))
        else:
            groups.setdefault(dtype, []).append(name)
    return tuple(BlockLayout(dtype, tuple(names)) for dtype, names in groups.items()) + tuple(
        singles
    )
