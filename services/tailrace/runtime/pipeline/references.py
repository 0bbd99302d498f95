"""Checks that every column, view and key that a pipeline file names is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.ingest_steps import StepBase
from tailrace.runtime.pipeline.problem import Problem, nearest
from tailrace.runtime.pipeline.spec import PipelineSpec
from tailrace.runtime.pipeline.view_plan import ViewPlan
from tailrace.runtime.pipeline.view_uses import Origin, ViewUses

Types = Mapping[str, DType]


class References:
    """What the names in a pipeline file refer to.

    Attributes:
        problems: names that refer to nothing, or to something unfit.
    """

    def __init__(
        self, spec: PipelineSpec, views: Mapping[str, FeatureView], refused_views: Collection[str]
    ) -> None:
        """Follows the steps and the views; what is wrong with them is in `problems`.

        Args:
            spec: the pipeline file.
            views: all views that could be loaded, by name.
            refused_views: names of view files that could not be loaded.
        """
        self.problems: list[Problem] = []
        self._spec = spec
        self._absent_views: set[str] = set()
        self._request = {name: field.column_dtype for name, field in spec.request.fields.items()}
        self._ingest = self._run_steps("ingest", spec.ingest.steps, self._request)
        columns: dict[Origin, Types] = {"request": self._request, "ingest": self._ingest}
        uses = ViewUses(spec, views, refused_views, columns)
        self.problems += uses.problems
        self._absent_views, self._plans = uses.absent, uses.plans
        self._features = {
            column.name: column.dtype for plan in self._plans for column in plan.columns()
        }
        self._refuse_clashes()

    def ingest_columns(self) -> Types:
        """Returns the columns that there are after ingest, with their types."""
        return self._ingest

    def feature_columns(self) -> Types:
        """Returns the columns of all views, with their types."""
        return self._features

    def view_plans(self) -> tuple[ViewPlan, ...]:
        """Returns the views that are there, with the sources of their keys."""
        return self._plans

    def check_model_inputs(self) -> None:
        """Notes columns of the model's inputs that are not there, or cannot become its type."""
        columns = {**self._ingest, **self._features}
        for place, model_input in enumerate(self._spec.model.inputs):
            for nth, name in enumerate(model_input.source_columns()):
                column = "column" if model_input.columns is None else f"columns[{nth}]"
                path = f"model.inputs[{place}].{column}"
                if name not in columns:
                    expected = "a request field, an ingest column or <view>.<feature>"
                    self._unknown_column(path, name, expected, columns)
                elif columns[name].is_ragged != model_input.dtype.is_ragged:
                    found = f"{name!r} of type {columns[name].value}"
                    expected = f"a column that can be {model_input.dtype.value}"
                    self.problems.append(Problem(path, found, expected))

    def carried_columns(self) -> tuple[str, ...]:
        """Returns the ingest and feature columns that postprocess reads; notes unknown ones."""
        spec, earlier = self._spec, {**self._ingest, **self._features}
        made: set[str] = {output.name for output in spec.model.outputs}
        carried: dict[str, None] = {}
        outputs = {output.name: output.dtype for output in spec.model.outputs}
        columns = self._run_steps("postprocess", spec.postprocess.steps, {**earlier, **outputs})
        for step in spec.postprocess.steps:
            carried.update((name, None) for name in step.input_columns() if name not in made)
            made.update(name for name, _ in step.output_columns())
        seen: set[str] = set()
        for place, output in enumerate(spec.postprocess.outputs):
            path = f"postprocess.outputs[{place}]"
            if output.name in seen:
                self.problems.append(
                    Problem(f"{path}.name", f"{output.name!r} again", "each name once")
                )
            seen.add(output.name)
            if output.source not in columns:
                path += ".name" if output.column is None else ".column"
                expected = "a model output, or a column made before"
                self._unknown_column(path, output.source, expected, columns)
            elif output.source not in made:
                carried[output.source] = None
        return tuple(carried)

    def _run_steps(self, section: str, steps: Sequence[StepBase], columns: Types) -> Types:
        known = dict(columns)
        kinds = "a request field" if section == "ingest" else "a model output, an earlier column"
        for place, step in enumerate(steps):
            single = "input" in type(step).model_fields
            for nth, name in enumerate(step.input_columns()):
                if name not in known:
                    path = f"{section}.steps[{place}].{'input' if single else f'inputs[{nth}]'}"
                    expected = f"{kinds} or a column made by a step before"
                    self._unknown_column(path, name, expected, known)
            known.update(step.output_columns())
        return known

    def _unknown_column(self, path: str, name: str, expected: str, known: Types) -> None:
        if name.partition(".")[0] in self._absent_views:
            return  # A consequence of a problem that is told already.
        found = f"the unknown column {name!r}"
        self.problems.append(Problem(path, found, expected, nearest(name, known)))

    def _refuse_clashes(self) -> None:
        # The columns of ingest and of the views meet before the model.
        for name in self._features.keys() & self._request.keys():
            found = "the name of a feature column"
            self.problems.append(Problem(f"request.fields.{name}", found, "another name"))
        for place, step in enumerate(self._spec.ingest.steps):
            for name, _ in step.output_columns():
                if name in self._features:
                    found = f"the output {name!r}, which is a feature, too"
                    self.problems.append(Problem(f"ingest.steps[{place}]", found, "another name"))
