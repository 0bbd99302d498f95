"""Checks that every column, view and key that a pipeline file names is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tailrace.runtime.pipeline.column_kind import (
    Kinds,
    feature_kinds,
    output_kinds,
    request_kinds,
    step_kinds,
    with_lengths,
)
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.ingest_steps import StepBase
from tailrace.runtime.pipeline.model_section import ModelInput
from tailrace.runtime.pipeline.postprocess_steps import PredictionOutput
from tailrace.runtime.pipeline.problem import Problem, nearest
from tailrace.runtime.pipeline.spec import PipelineSpec
from tailrace.runtime.pipeline.view_plan import ViewPlan
from tailrace.runtime.pipeline.view_uses import Origin, ViewUses


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
        self._request = request_kinds(spec.request)
        self._lengths = {kind.length: name for name, kind in self._request.items() if kind.length}
        self._ingest = self._run_steps("ingest", spec.ingest.steps, with_lengths(self._request))
        columns: dict[Origin, Kinds] = {"request": self._request, "ingest": self._ingest}
        uses = ViewUses(spec, views, refused_views, columns)
        self.problems += uses.problems
        self._absent_views, self._plans = uses.absent, uses.plans
        self._features = feature_kinds(self._plans)
        self._refuse_clashes()

    def ingest_columns(self) -> Kinds:
        """Returns the columns that there are after ingest."""
        return self._ingest

    def feature_columns(self) -> Kinds:
        """Returns the columns of all views."""
        return self._features

    def view_plans(self) -> tuple[ViewPlan, ...]:
        """Returns the views that are there, with the sources of their keys."""
        return self._plans

    def check_model_inputs(self) -> None:
        """Notes columns of the model's inputs that are not there, or that do not fit."""
        columns = {**self._ingest, **self._features}
        for place, model_input in enumerate(self._spec.model.inputs):
            for nth, name in enumerate(model_input.source_columns()):
                column = "column" if model_input.columns is None else f"columns[{nth}]"
                path = f"model.inputs[{place}].{column}"
                if name not in columns:
                    expected = "a request field, an ingest column or <view>.<feature>"
                    self._unknown_column(path, name, expected, columns)
                elif columns[name].dtype.is_ragged != model_input.dtype.is_ragged:
                    found = f"{name!r} of type {columns[name].dtype.value}"
                    expected = f"a column that can be {model_input.dtype.value}"
                    self.problems.append(Problem(path, found, expected))
            self._check_stack(f"model.inputs[{place}]", model_input, columns)

    def carried_columns(self) -> tuple[str, ...]:
        """Returns the ingest and feature columns that postprocess reads; notes unknown ones."""
        spec, earlier = self._spec, {**self._ingest, **self._features}
        made: set[str] = {output.name for output in spec.model.outputs}
        carried: dict[str, None] = {}
        outputs = output_kinds(spec.model.outputs)
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
                continue
            if output.source not in made:
                carried[output.source] = None
            self._check_length(f"{path}.length_of", output, columns)
        return tuple(carried)

    def _check_stack(self, path: str, model_input: ModelInput, columns: Kinds) -> None:
        """Notes what cannot stand side by side: tensors, and lists of different sizes."""
        first: tuple[str, int] | None = None
        for nth, name in enumerate(model_input.columns or ()):
            kind = columns.get(name)
            if kind is None or not kind.row_shape:
                continue
            if kind.elements is None or len(kind.row_shape) > 1:
                found = f"{name!r}, which holds tensors of shape {list(kind.row_shape)}"
                expected = "columns of single values, or lists of them; name it in `column`"
                self.problems.append(Problem(f"{path}.columns[{nth}]", found, expected))
            elif first is None:
                first = name, kind.elements
            elif kind.elements != first[1]:
                found = f"{name!r}, a list of at most {kind.elements}"
                expected = f"at most {first[1]}, as {first[0]!r} beside it"
                self.problems.append(Problem(f"{path}.columns[{nth}]", found, expected))

    def _check_length(self, path: str, output: PredictionOutput, columns: Kinds) -> None:
        """Notes an output that cannot be cut to the length of the list that it names."""
        if output.length_of is None:
            return
        lists = {name: kind for name, kind in self._request.items() if kind.elements is not None}
        of_list, source = lists.get(output.length_of), columns[output.source]
        if of_list is None:
            expected = f"a list, one of: {', '.join(lists)}" if lists else "a field with max_items"
            found, suggestion = repr(output.length_of), nearest(output.length_of, lists)
            self.problems.append(Problem(path, found, expected, suggestion))
        elif source.row_shape is not None and (
            # A model says [1] of single values and of lists of one.
            (source.row_shape or (1,))[0] != of_list.elements
        ):
            found = f"{output.source!r} of shape {list(source.row_shape)}"
            expected = f"a shape that begins with {of_list.elements}, as {output.length_of!r} has"
            self.problems.append(Problem(path, found, expected))

    def _run_steps(self, section: str, steps: Sequence[StepBase], columns: Kinds) -> Kinds:
        known = dict(columns)
        kinds = "a request field" if section == "ingest" else "a model output, an earlier column"
        for place, step in enumerate(steps):
            single = "input" in type(step).model_fields
            for nth, name in enumerate(step.input_columns()):
                if name not in known:
                    path = f"{section}.steps[{place}].{'input' if single else f'inputs[{nth}]'}"
                    expected = f"{kinds} or a column made by a step before"
                    self._unknown_column(path, name, expected, known)
            known.update(step_kinds(step, known))
        return known

    def _unknown_column(self, path: str, name: str, expected: str, known: Kinds) -> None:
        if name.partition(".")[0] in self._absent_views:
            return  # A consequence of a problem that is told already.
        found = f"the unknown column {name!r}"
        self.problems.append(Problem(path, found, expected, nearest(name, known)))

    def _refuse_clashes(self) -> None:
        # The columns of ingest and of the views meet before the model.
        for name in self._lengths.keys() & self._request.keys():
            found = f"the name of the length of the list {self._lengths[name]!r}"
            self.problems.append(Problem(f"request.fields.{name}", found, "another name"))
        for name in self._features.keys() & self._lengths.keys():
            found = f"a list whose length has the name of the feature column {name!r}"
            self.problems.append(
                Problem(f"request.fields.{self._lengths[name]}", found, "another name")
            )
        for name in self._features.keys() & self._request.keys():
            found = "the name of a feature column"
            self.problems.append(Problem(f"request.fields.{name}", found, "another name"))
        for place, step in enumerate(self._spec.ingest.steps):
            for name, _ in step.output_columns():
                if name in self._lengths:
                    found = f"the output {name!r}, the length of {self._lengths[name]!r}"
                    self.problems.append(Problem(f"ingest.steps[{place}]", found, "another name"))
                elif name in self._features:
                    found = f"the output {name!r}, which is a feature, too"
                    self.problems.append(Problem(f"ingest.steps[{place}]", found, "another name"))
