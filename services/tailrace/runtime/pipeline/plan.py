"""A pipeline compiled once, when its file is loaded, so that requests do no such work."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailrace.runtime.columns import DType
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
    """

    name: str
    dtype: DType
    row_shape: tuple[int, ...]
    unit: str
    description: str


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
    """

    spec: PipelineSpec
    version: str
    file: Path
    views: tuple[ViewPlan, ...]
    ingest_layout: tuple[BlockLayout, ...]
    features_beside_ingest: bool
    carried_columns: tuple[str, ...]
    outputs: tuple[OutputField, ...]

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.spec.pipeline


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
        ingest_layout=_ingest_layout(spec, ingest_columns, view_plans, carried),
        features_beside_ingest=all(
            source.origin == "request" for plan in view_plans for source in plan.sources()
        ),
        carried_columns=carried,
        outputs=_output_fields(spec, {**ingest_columns, **feature_columns}),
    )


def _output_fields(spec: PipelineSpec, earlier: Mapping[str, DType]) -> tuple[OutputField, ...]:
    fields = spec.request.fields
    shapes: dict[str, tuple[int, ...]] = {
        name: tuple(field.shape) for name, field in fields.items() if field.type == "tensor"
    }
    dtypes = dict(earlier)
    for output in spec.model.outputs:
        dtypes[output.name] = output.dtype
        # A model cannot answer with less than one dimension per row; [1] is a scalar.
        shapes[output.name] = () if output.shape == [1] else tuple(output.shape)
    for step in spec.postprocess.steps:
        if step.step == "top_k":
            shapes.update((name, (step.k,)) for name, _ in step.output_columns())
        elif step.step == "function":
            shapes.update((output.name, tuple(output.shape)) for output in step.outputs)
        else:
            of_input = shapes.get(step.input, ())
            shapes.update((name, of_input) for name, _ in step.output_columns())
        dtypes.update(step.output_columns())
    return tuple(
        OutputField(
            output.name,
            dtypes[output.source],
            shapes.get(output.source, ()),
            output.unit,
            output.description,
        )
        for output in spec.postprocess.outputs
    )


def _ingest_layout(
    spec: PipelineSpec,
    ingest_columns: Mapping[str, DType],
    views: tuple[ViewPlan, ...],
    carried: tuple[str, ...],
) -> tuple[BlockLayout, ...]:
    # A column that only one model input reads leaves ingest in that input's own type and order,
    # so that the inference hop copies a whole block at once.
    kept_as_is = {name for name in carried if name in ingest_columns}
    kept_as_is |= {
        source.name for plan in views for source in plan.sources() if source.origin == "ingest"
    }
    readers: dict[str, set[DType]] = {}
    for model_input in spec.model.inputs:
        for name in model_input.source_columns():
            if name in ingest_columns:
                readers.setdefault(name, set()).add(model_input.dtype)
    groups: dict[DType, list[str]] = {}
    singles: list[BlockLayout] = []
    vectors = _vector_columns(spec)
    for name in [*readers, *(kept for kept in sorted(kept_as_is) if kept not in readers)]:
        dtypes = readers.get(name, set())
        convert = name not in kept_as_is and len(dtypes) == 1
        dtype = next(iter(dtypes)) if convert else ingest_columns[name]
        if name in vectors:
            singles.append(BlockLayout(dtype, (name,)))
        else:
            groups.setdefault(dtype, []).append(name)
    return tuple(BlockLayout(dtype, tuple(names)) for dtype, names in groups.items()) + tuple(
        singles
    )


def _vector_columns(spec: PipelineSpec) -> set[str]:
    vectors = {name for name, field in spec.request.fields.items() if field.type == "tensor"}
    for step in spec.ingest.steps:
        if step.step == "function":
            vectors |= {output.name for output in step.outputs if output.shape}
        elif vectors.intersection(step.input_columns()):
            vectors |= {name for name, _ in step.output_columns()}
    return vectors
