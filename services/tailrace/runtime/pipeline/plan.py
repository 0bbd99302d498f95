"""A pipeline compiled once, when its file is loaded, so that requests do no such work."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import EntityKey, FeatureView
from tailrace.runtime.pipeline.ingest_steps import StepBase
from tailrace.runtime.pipeline.load import Problem, SpecError, nearest
from tailrace.runtime.pipeline.spec import PipelineSpec, ViewUse


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where one key of a view comes from.

    Attributes:
        key: the key, as the view declares it.
        origin: `request` for a request field, `ingest` for an ingest column.
        name: the field or column.
        column: name of the key's column in a lookup, `<view>.<key>`.
    """

    key: EntityKey
    origin: Literal["request", "ingest"]
    name: str
    column: str


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """One view as a pipeline uses it."""

    view: FeatureView
    keys: tuple[KeySource, ...]


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
        features_beside_ingest: whether all keys come straight from the request.
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
    spec: PipelineSpec, file: Path, views: Mapping[str, FeatureView], digests: list[str]
) -> Pipeline:
    """Returns the compiled pipeline.

    Args:
        spec: the pipeline file.
        file: where it was read from.
        views: all views that could be loaded, by name.
        digests: digests of all files that the pipeline is made of.

    Raises:
        SpecError: a view, key or column that is named is not there.
    """
    problems: list[Problem] = []
    request_columns = {name: field.column_dtype for name, field in spec.request.fields.items()}
    ingest_columns = _run_steps("ingest", spec.ingest.steps, dict(request_columns), problems)
    plans = [
        _plan_view(place, use, views, request_columns, ingest_columns, problems)
        for place, use in enumerate(spec.features.views)
    ]
    view_plans = tuple(plan for plan in plans if plan is not None)
    _check_views_once(spec.features.views, problems)
    feature_columns = {name: dtype for plan in view_plans for name, dtype in plan.view.columns()}
    _check_model_inputs(spec, ingest_columns | feature_columns, problems)
    carried = _check_postprocess(spec, ingest_columns | feature_columns, problems)
    if problems:
        raise SpecError(file, problems)
    digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]
    return Pipeline(
        spec=spec,
        version=f"{spec.version}-{digest}",
        file=file,
        views=view_plans,
        ingest_layout=_ingest_layout(spec, ingest_columns, view_plans, carried),
        features_beside_ingest=all(
            key.origin == "request" for plan in view_plans for key in plan.keys
        ),
        carried_columns=carried,
        outputs=_output_fields(spec, ingest_columns | feature_columns),
    )


def _run_steps(
    section: str, steps: Sequence[StepBase], columns: dict[str, DType], problems: list[Problem]
) -> dict[str, DType]:
    for place, step in enumerate(steps):
        for name in step.input_columns():
            if name not in columns:
                problems.append(
                    Problem(
                        f"{section}.steps[{place}]",
                        f"the column {name!r}",
                        "a request field or a column made by a step before this one"
                        if section == "ingest"
                        else "a model output, an earlier column, or one made by a step before",
                        nearest(name, columns),
                    )
                )
        columns.update(step.output_columns())
    return columns


def _check_views_once(uses: list[ViewUse], problems: list[Problem]) -> None:
    seen: set[str] = set()
    for place, use in enumerate(uses):
        if use.view in seen:
            problems.append(
                Problem(f"features.views[{place}].view", repr(use.view), "each view once")
            )
        seen.add(use.view)


def _plan_view(
    place: int,
    use: ViewUse,
    views: Mapping[str, FeatureView],
    request_columns: Mapping[str, DType],
    ingest_columns: Mapping[str, DType],
    problems: list[Problem],
) -> ViewPlan | None:
    path = f"features.views[{place}]"
    view = views.get(use.view)
    if view is None:
        known = ", ".join(sorted(views)) or "none could be loaded"
        problems.append(
            Problem(
                f"{path}.view",
                f"the unknown view {use.view!r}",
                f"one of: {known}",
                nearest(use.view, views),
            )
        )
        return None
    keys = []
    for key in view.keys:
        source = use.keys.get(key.name)
        if source is None:
            problems.append(Problem(f"{path}.keys", "nothing", f"the view's key {key.name!r}"))
            continue
        origin, _, name = source.partition(".")
        columns = request_columns if origin == "request" else ingest_columns
        where = f"{path}.keys.{key.name}"
        if name not in columns:
            problems.append(
                Problem(where, repr(source), f"an existing {origin} column", nearest(name, columns))
            )
        elif columns[name] is not key.dtype:
            problems.append(
                Problem(where, f"{source} of type {columns[name].value}", f"type {key.type}")
            )
        else:
            column = f"{view.view}.{key.name}"
            origin_name: Literal["request", "ingest"] = (
                "request" if origin == "request" else "ingest"
            )
            keys.append(KeySource(key, origin_name, name, column))
    names = [key.name for key in view.keys]
    for name in use.keys:
        if name not in names:
            problems.append(
                Problem(
                    f"{path}.keys",
                    f"the unknown key {name!r}",
                    f"one of: {', '.join(names)}",
                    nearest(name, names),
                )
            )
    return ViewPlan(view, tuple(keys))


def _check_model_inputs(
    spec: PipelineSpec, columns: Mapping[str, DType], problems: list[Problem]
) -> None:
    for place, model_input in enumerate(spec.model.inputs):
        for name in model_input.source_columns():
            path = f"model.inputs[{place}].columns"
            if name not in columns:
                problems.append(
                    Problem(
                        path,
                        f"the column {name!r}",
                        "an ingest column or <view>.<feature>",
                        nearest(name, columns),
                    )
                )
            elif columns[name].is_ragged != model_input.dtype.is_ragged:
                problems.append(
                    Problem(
                        path,
                        f"{name!r} of type {columns[name].value}",
                        f"a column that can be {model_input.dtype.value}",
                    )
                )


def _check_postprocess(
    spec: PipelineSpec, earlier: Mapping[str, DType], problems: list[Problem]
) -> tuple[str, ...]:
    outputs = {output.name: output.dtype for output in spec.model.outputs}
    made = dict(outputs)
    carried: dict[str, None] = {}
    for step in spec.postprocess.steps:
        carried.update(
            (name, None) for name in step.input_columns() if name not in made and name in earlier
        )
        made.update(step.output_columns())
    for place, output in enumerate(spec.postprocess.outputs):
        if output.source in made:
            continue
        if output.source in earlier:
            carried[output.source] = None
            continue
        problems.append(
            Problem(
                f"postprocess.outputs[{place}]",
                f"the column {output.source!r}",
                "a model output or a column made by a step",
                nearest(output.source, made | dict(earlier)),
            )
        )
    _run_steps("postprocess", spec.postprocess.steps, dict(earlier) | outputs, problems)
    return tuple(carried)


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
    kept_as_is |= {key.name for plan in views for key in plan.keys if key.origin == "ingest"}
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
