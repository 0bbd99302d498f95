"""A compiled pipeline described as a message, for callers and for `tailrace pipelines show`."""

from __future__ import annotations

import json
from datetime import timedelta

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.ingest_steps import StepBase
from tailrace.runtime.pipeline.model_section import ModelSection, WeightedVersions
from tailrace.runtime.pipeline.plan import Pipeline, ViewPlan
from tailrace.runtime.pipeline.request_schema import FieldBase, TensorField
from tailrace.runtime.pipeline.slo_section import LatencyObjective, SloSection, Within
from tailrace.runtime.pipeline.view_plan import ViewColumn
from tailrace.runtime.value_kinds import value_message
from tailrace.runtime.wire import dtype_number
from tailrace.v1 import pipeline_pb2

MAX_PARAMETER = 200
_COLUMN_PARAMETERS = {"step", "input", "output", "inputs", "outputs"}


def describe_pipeline(pipeline: Pipeline) -> pipeline_pb2.PipelineDescription:
    """Returns what a pipeline takes, does and returns."""
    spec = pipeline.spec
    return pipeline_pb2.PipelineDescription(
        name=pipeline.name,
        version=pipeline.version,
        description=spec.description,
        owner=spec.owner,
        request_fields=[_field(name, field) for name, field in spec.request.fields.items()],
        ingest_steps=[_step(step) for step in spec.ingest.steps],
        views=[_view(plan) for plan in pipeline.views],
        features_on_failure=spec.features.on_failure,
        features_beside_ingest=pipeline.features_beside_ingest,
        model=_model(spec.model),
        postprocess_steps=[_step(step) for step in spec.postprocess.steps],
        outputs=[
            pipeline_pb2.OutputDescription(
                name=output.name,
                description=output.description,
                unit=output.unit,
                dtype=dtype_number(output.dtype),
                length_of=output.length_of or "",
            )
            for output in pipeline.outputs
        ],
        default_deadline_ms=spec.deadline.default_ms,
        maximum_deadline_ms=spec.deadline.maximum_ms,
        objectives=None if spec.slo.empty else _objectives(spec.slo),
    )


def _field(name: str, field: FieldBase) -> pipeline_pb2.RequestField:
    message = pipeline_pb2.RequestField(
        name=name,
        type=getattr(field, "type", ""),
        required=field.required,
        description=field.description,
        unit=field.unit,
        allowed_values=[value_message(value) for value in getattr(field, "allowed", None) or ()],
        max_length=getattr(field, "max_length", 0),
        max_items=field.list_items or 0,
    )
    for target, source in (
        (message.default_value, "default"),
        (message.minimum, "minimum"),
        (message.maximum, "maximum"),
    ):
        value = getattr(field, source, None)
        if value is not None:
            target.CopyFrom(value_message(value))
    if isinstance(field, TensorField):
        message.dtype = dtype_number(field.dtype)
        message.shape.extend(field.shape)
    return message


def _columns(columns: list[tuple[str, DType]]) -> list[pipeline_pb2.ColumnDescription]:
    return [
        pipeline_pb2.ColumnDescription(name=name, dtype=dtype_number(dtype))
        for name, dtype in columns
    ]


def _feature_column(column: ViewColumn) -> pipeline_pb2.ColumnDescription:
    return pipeline_pb2.ColumnDescription(
        name=column.name, dtype=dtype_number(column.dtype), shape=column.row_shape
    )


def _step(step: StepBase) -> pipeline_pb2.StepDescription:
    content = step.model_dump(mode="json", exclude=_COLUMN_PARAMETERS, exclude_none=True)
    return pipeline_pb2.StepDescription(
        step=getattr(step, "step", ""),
        inputs=step.input_columns(),
        outputs=_columns(step.output_columns()),
        parameters={
            name: json.dumps(value, ensure_ascii=False)[:MAX_PARAMETER]
            for name, value in content.items()
        },
    )


def _view(plan: ViewPlan) -> pipeline_pb2.ViewDescription:
    view = plan.view
    return pipeline_pb2.ViewDescription(
        name=view.view,
        description=view.description,
        entity=view.entity,
        keys=[
            pipeline_pb2.ViewKeyDescription(
                name=key.key.name,
                source=f"{key.origin}.{key.name}",
                elements=key.elements or 0,
            )
            for key in plan.keys
        ],
        columns=[_feature_column(column) for column in plan.columns()],
        max_age_ms=_milliseconds(view.max_age),
        on_missing=view.on_missing,
        on_stale=view.on_stale,
        alias=plan.name,
        kind=view.kind,
        instant=f"{plan.instant.origin}.{plan.instant.name}" if plan.instant else "",
        ttl_ms=_milliseconds(view.ttl),
    )


def _milliseconds(duration: timedelta | None) -> int:
    return (duration or timedelta()) // timedelta(milliseconds=1)


def _model(model: ModelSection) -> pipeline_pb2.ModelDescription:
    version = model.version
    if isinstance(version, WeightedVersions):
        version = ", ".join(f"{number}: {weight:g}" for number, weight in version.weights.items())
    return pipeline_pb2.ModelDescription(
        name=model.name,
        version=version,
        inputs=[
            pipeline_pb2.ModelTensorDescription(
                name=tensor.name,
                dtype=dtype_number(tensor.dtype),
                columns=tensor.source_columns(),
            )
            for tensor in model.inputs
        ],
        outputs=[
            pipeline_pb2.ModelTensorDescription(
                name=tensor.name, dtype=dtype_number(tensor.dtype), shape=tensor.shape
            )
            for tensor in model.outputs
        ],
    )


def _objectives(slo: SloSection) -> pipeline_pb2.Objectives:
    return pipeline_pb2.Objectives(
        window_days=slo.window_days,
        latency=[_time(objective) for objective in slo.latency],
        availability_percent=slo.availability_percent,
        degraded_max_percent=slo.degraded_max_percent,
        fresh_min_percent=slo.fresh_min_percent,
        delivery=[_time(objective) for objective in slo.delivery],
    )


def _time(objective: Within) -> pipeline_pb2.TimeObjective:
    hop = objective.hop if isinstance(objective, LatencyObjective) else None
    return pipeline_pb2.TimeObjective(
        percentile=objective.percentile, within_ms=objective.within_ms, hop=hop or ""
    )
