"""All that is known of views, event types and their users from files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailrace.features.registry.search import SearchIndex
from tailrace.runtime.errors import NotFound, Reason
from tailrace.runtime.pipeline.directory import DirectoryContent
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.plan import Pipeline, ViewPlan
from tailrace.runtime.pipeline.problem import SpecError, nearest


@dataclass(frozen=True, slots=True)
class Consumer:
    """A pipeline that uses a view, under one name.

    Attributes:
        pipeline: its version that new requests get.
        plan: the view as it uses it.
        earlier_definition: whether that is what the view's file said before.
    """

    pipeline: Pipeline
    plan: ViewPlan
    earlier_definition: bool

    def model_reads(self) -> list[str]:
        """Returns the features and flags that the model reads, in the view's order."""
        return self._of(self.pipeline.model_columns())

    def postprocess_reads(self) -> list[str]:
        """Returns the features and flags that postprocess reads, in the view's order."""
        return self._of(frozenset(self.pipeline.carried_columns))

    def unread(self) -> list[str]:
        """Returns the features that nothing of the pipeline reads, in the view's order."""
        read = {*self.model_reads(), *self.postprocess_reads()}
        return [each.name for each in self.plan.view.features if each.name not in read]

    def _of(self, columns: frozenset[str]) -> list[str]:
        view = self.plan.view
        names = [*(feature.name for feature in view.features), *view.flag_names()]
        return [name for name in names if f"{self.plan.name}.{name}" in columns]


@dataclass(frozen=True, slots=True)
class CatalogView:
    """A view and who uses it.

    Attributes:
        view: what its file says; what it said before, where it is refused and a pipeline goes on
            with that.
        file: its file; None if it is gone or refused.
        problems: what is wrong with its file.
        consumers: by pipeline, then in the pipeline's order.
    """

    view: FeatureView
    file: Path | None
    problems: tuple[str, ...]
    consumers: tuple[Consumer, ...]


class Catalog:
    """The views and event types of one directory. Never changed once it is made.

    Attributes:
        views: by name, sorted.
        events: event types by name, sorted.
        errors: what is wrong with the files of views, event types and pipelines, by file.
        index: finds views and features by words.
    """

    def __init__(
        self,
        content: DirectoryContent,
        pipelines: Sequence[Pipeline],
        errors: Mapping[Path, SpecError],
    ) -> None:
        """Finds out who uses what.

        Args:
            content: the files.
            pipelines: those that are served, which may go on with views whose files are refused.
            errors: what keeps files from being served.
        """
        views = dict(content.views)
        for pipeline in pipelines:
            for plan in pipeline.views:
                views.setdefault(plan.view.view, plan.view)
        problems = {file.stem: _texts(error) for file, error in sorted(errors.items())}
        self.views: dict[str, CatalogView] = {
            name: CatalogView(
                view=views[name],
                file=content.files.get(name),
                problems=() if name in content.views else problems.get(name, ()),
                consumers=_consumers(views[name], pipelines),
            )
            for name in sorted(views)
        }
        self.events: dict[str, EventType] = {
            name: content.events[name] for name in sorted(content.events)
        }
        self.errors: dict[str, tuple[str, ...]] = {
            str(file): _texts(error) for file, error in sorted(errors.items())
        }
        self._pipelines = sorted(pipeline.name for pipeline in pipelines)
        self.index = SearchIndex([each.view for each in self.views.values()])

    def find(self, name: str) -> CatalogView:
        """Returns a view.

        Raises:
            NotFound: there is none of that name.
        """
        found = self.views.get(name)
        if found is not None:
            return found
        hint = nearest(name, self.views)
        suggestion = f"; did you mean {hint!r}?" if hint else ""
        refused = [file for file in self.errors if Path(file).stem == name]
        if refused:
            suggestion = f": {refused[0]} is refused"
        raise NotFound(
            f"no feature view {name[:64]!r}{suggestion}", field="view", reason=Reason.VIEW_NOT_FOUND
        )

    def check_pipeline(self, name: str) -> None:
        """Returns if there is a pipeline of that name.

        Raises:
            NotFound: there is none.
        """
        if name in self._pipelines:
            return
        hint = nearest(name, self._pipelines)
        suggestion = f"; did you mean {hint!r}?" if hint else ""
        if not self._pipelines:
            suggestion = ": no pipelines are known here"
        raise NotFound(
            f"no pipeline {name[:64]!r}{suggestion}",
            field="pipeline",
            reason=Reason.PIPELINE_NOT_FOUND,
        )


def _consumers(view: FeatureView, pipelines: Sequence[Pipeline]) -> tuple[Consumer, ...]:
    return tuple(
        Consumer(pipeline, plan, plan.view != view)
        for pipeline in pipelines
        for plan in pipeline.views
        if plan.view.view == view.view
    )


def _texts(error: SpecError) -> tuple[str, ...]:
    return tuple(
        f"line {problem.line}: {problem}" if problem.line else str(problem)
        for problem in error.problems
    )
