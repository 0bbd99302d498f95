"""What the inference hop needs of a pipeline, worked out once when the file is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tailrace.inference.assembly import InputAssembler
from tailrace.inference.backend import ModelMetadata
from tailrace.inference.checks import ExpectedTensor, differences
from tailrace.inference.conversion import Conversion, conversion
from tailrace.inference.output_checks import OutputCheck
from tailrace.inference.versions import choose_versions
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import FailedPrecondition, Reason
from tailrace.runtime.pipeline.column_kind import Kinds
from tailrace.runtime.pipeline.load import Problem, SpecError
from tailrace.runtime.pipeline.model_section import ModelInput
from tailrace.runtime.pipeline.plan import Pipeline

MAX_CHECKED = 32


class InferencePlan:
    """One pipeline version, ready to be run.

    Attributes:
        pipeline: name of the pipeline.
        model: name of the model.
        choice: which version of the model answers which row.
        assembler: makes the input tensors.
        outputs: the outputs wanted, as the pipeline file declares them.
        output_names: their names, in the same order.
        output_checks: their checks, in the same order.
    """

    def __init__(self, pipeline: Pipeline, model: str) -> None:
        """Keeps what is needed of the pipeline, and the name of the model to call."""
        section = pipeline.spec.model
        self.pipeline = pipeline.name
        self.model = model
        self.choice = choose_versions(section)
        features = [column.name for plan in pipeline.views for column in plan.columns()]
        self.assembler = InputAssembler(section.inputs, pipeline.columns, features)
        self.outputs = tuple(section.outputs)
        self.output_names = tuple(output.name for output in section.outputs)
        self.output_checks = tuple(OutputCheck(output) for output in section.outputs)
        self._expected_inputs = [
            ExpectedTensor(item.name, item.dtype, _row_shape(item, pipeline.columns))
            for item in section.inputs
        ]
        self._expected_outputs = [
            ExpectedTensor(item.name, item.dtype, tuple(item.shape)) for item in section.outputs
        ]
        self._mismatches: dict[ModelMetadata, str] = {}

    def mismatch(self, metadata: ModelMetadata) -> str:
        """Returns how the model version differs from the pipeline; empty if it does not."""
        found = self._mismatches.get(metadata)
        if found is None:
            found = "; ".join(differences(self._expected_inputs, self._expected_outputs, metadata))
            if len(self._mismatches) >= MAX_CHECKED:
                self._mismatches.clear()
            self._mismatches[metadata] = found
        return found

    def require_match(self, metadata: ModelMetadata) -> None:
        """Raises FailedPrecondition, naming the difference, if the model does not fit."""
        mismatch = self.mismatch(metadata)
        if mismatch:
            raise FailedPrecondition(
                f"model {metadata.model!r} version {metadata.version} does not fit pipeline "
                f"{self.pipeline!r}: {mismatch}",
                reason=Reason.MODEL_MISMATCH,
            )


def compile_for_inference(
    pipeline: Pipeline, substitutes: Mapping[str, str] | None = None
) -> InferencePlan:
    """Returns the plan of a pipeline.

    Args:
        pipeline: the pipeline.
        substitutes: models to call in place of those that pipelines name.

    Raises:
        SpecError: a name occurs twice, or a column cannot be turned into its input's type.
    """
    problems = [*_names_twice(pipeline), *_refused_columns(pipeline)]
    if problems:
        raise SpecError(pipeline.file, problems)
    named = pipeline.spec.model.name
    return InferencePlan(pipeline, (substitutes or {}).get(named, named))


def _names_twice(pipeline: Pipeline) -> Iterator[Problem]:
    model = pipeline.spec.model
    for section, names in (
        ("inputs", [item.name for item in model.inputs]),
        ("outputs", [item.name for item in model.outputs]),
    ):
        for place, name in enumerate(names):
            if name in names[:place]:
                yield Problem(f"model.{section}[{place}].name", repr(name), "each name once")


def _refused_columns(pipeline: Pipeline) -> Iterator[Problem]:
    dtypes: dict[str, DType] = {
        name: layout.dtype for layout in pipeline.ingest_layout for name in layout.names
    }
    for view in pipeline.views:
        dtypes.update((column.name, column.dtype) for column in view.columns())
    for place, item in enumerate(pipeline.spec.model.inputs):
        for name in item.source_columns():
            dtype = dtypes.get(name)
            path = f"model.inputs[{place}].{'column' if item.columns is None else 'columns'}"
            if dtype is not None and conversion(dtype, item.dtype) is Conversion.REFUSED:
                expected = f"a column that can be {item.dtype.value}; add a cast step"
                yield Problem(path, f"{name!r} of type {dtype.value}", expected)


def _row_shape(item: ModelInput, columns: Kinds) -> tuple[int, ...] | None:
    """Returns the shape of one row of an input; None if only the data says."""
    if item.columns is None:
        return columns[str(item.column)].row_shape
    elements = [columns[name].elements for name in item.columns]
    of_list = next((count for count in elements if count is not None), None)
    return (len(item.columns),) if of_list is None else (of_list, len(item.columns))
