"""Checks the views that a pipeline file reads, and finds out where keys and instants come from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.column_kind import ColumnKind, Kinds, length_column
from tailrace.runtime.pipeline.feature_view import EntityKey, FeatureView
from tailrace.runtime.pipeline.problem import Problem, nearest
from tailrace.runtime.pipeline.spec import PipelineSpec, ViewUse
from tailrace.runtime.pipeline.view_plan import InstantSource, KeySource, ViewPlan

Origin = Literal["request", "ingest"]


class ViewUses:
    """The views of a pipeline file.

    Attributes:
        plans: of the views that are there, in the file's order.
        absent: what columns of views that are not there begin with.
        problems: names that refer to nothing, or to something unfit.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        views: Mapping[str, FeatureView],
        refused_views: Collection[str],
        columns: Mapping[Origin, Kinds],
    ) -> None:
        """Follows the keys and the instants of every view.

        Args:
            spec: the pipeline file.
            views: all views that could be loaded, by name.
            refused_views: names of view files that could not be loaded.
            columns: the request fields, and the columns that there are after ingest.
        """
        self.problems: list[Problem] = []
        self.absent: set[str] = set()
        self._views = views
        self._refused_views = refused_views
        self._columns = columns
        self.plans = tuple(self._plan_views(spec.features.views))

    def _plan_views(self, uses: list[ViewUse]) -> Iterator[ViewPlan]:
        seen: set[str] = set()
        for place, use in enumerate(uses):
            path = f"features.views[{place}]"
            if use.name in seen:
                expected = "each name once; `as` gives another one"
                part = "view" if use.alias is None else "as"
                self.problems.append(Problem(f"{path}.{part}", f"{use.name!r} again", expected))
                continue
            seen.add(use.name)
            view = self._views.get(use.view)
            if view is None:
                problem = self._unknown_view(f"{path}.view", use.view)
                self.problems.append(problem)
                self.absent |= {use.name, problem.suggestion}
                continue
            keys = tuple(self._key_sources(f"{path}.keys", use, view))
            lists = [key for key in keys if key.elements is not None]
            for key in lists[1:]:
                found = f"the list {key.name!r} beside the list {lists[0].name!r}"
                expected = "at most one list; other keys are single values"
                self.problems.append(Problem(f"{path}.keys.{key.key.name}", found, expected))
            yield ViewPlan(
                view,
                keys,
                name=use.name,
                instant=self._instant(f"{path}.at", use),
                elements=lists[0].elements if lists else None,
            )

    def _unknown_view(self, path: str, name: str) -> Problem:
        if name in self._refused_views:
            return Problem(path, f"the view {name!r}, whose own file is refused", "a sound view")
        known = ", ".join(sorted(self._views)) or "none could be loaded"
        return Problem(
            path, f"the unknown view {name!r}", f"one of: {known}", nearest(name, self._views)
        )

    def _key_sources(self, path: str, use: ViewUse, view: FeatureView) -> Iterator[KeySource]:
        names = [key.name for key in view.keys]
        missing = [name for name in names if name not in use.keys]
        for name in use.keys:
            if name in names:
                continue
            suggestion = nearest(name, missing) or nearest(name, names)
            found, expected = f"the unknown key {name!r}", f"one of: {', '.join(names)}"
            self.problems.append(Problem(f"{path}.{name}", found, expected, suggestion))
            # A misspelt key is one problem, not an unknown key and a missing one.
            missing = [other for other in missing if other != suggestion]
        for key in view.keys:
            if key.name in missing:
                expected = f"the key {key.name!r} of view {view.view!r}"
                self.problems.append(Problem(path, "nothing", expected))
            elif key.name in use.keys:
                yield from self._key_source(f"{path}.{key.name}", use, view, key)

    def _key_source(
        self, path: str, use: ViewUse, view: FeatureView, key: EntityKey
    ) -> Iterator[KeySource]:
        expected = f"type {key.type}, as in view {view.view!r}"
        found = self._source(path, use.keys[key.name], key.dtype, expected)
        if found is None:
            return
        origin, name, kind = found
        column = f"{use.name}.{key.name}"
        if kind.row_shape and kind.length is None:
            problem = f"{use.keys[key.name]!r}, which holds tensors of shape {list(kind.row_shape)}"
            self.problems.append(Problem(path, problem, "a single value, or a list"))
        elif kind.length is not None and length_column(key.name) in use.keys:
            problem = f"a list beside the key {length_column(key.name)!r}"
            self.problems.append(Problem(path, problem, "a single value"))
        else:
            yield KeySource(key, origin, name, column, kind.elements, kind.length)

    def _instant(self, path: str, use: ViewUse) -> InstantSource | None:
        if use.at is None:
            return None
        found = self._source(path, use.at, DType.TIMESTAMP, "type timestamp")
        if found is None:
            return None
        origin, name, kind = found
        if kind.row_shape:
            problem = f"{use.at!r}, which holds tensors of shape {list(kind.row_shape)}"
            self.problems.append(Problem(path, problem, "a single value"))
            return None
        return InstantSource(origin, name, f"{use.name}.@at")

    def _source(
        self, path: str, source: str, dtype: DType, expected: str
    ) -> tuple[Origin, str, ColumnKind] | None:
        """Returns where a key or an instant comes from; None, and a problem, where it cannot."""
        origin: Origin = "request" if source.startswith("request.") else "ingest"
        name = source.partition(".")[2]
        columns = self._columns[origin]
        if name not in columns:
            slip = nearest(name, columns)
            wanted = "a request field" if origin == "request" else "an ingest column"
            suggestion = f"{origin}.{slip}" if slip else ""
            self.problems.append(Problem(path, repr(source), wanted, suggestion))
            return None
        kind = columns[name]
        if kind.dtype is not dtype:
            found = f"{source!r} of type {kind.dtype.value}"
            self.problems.append(Problem(path, found, expected))
            return None
        return origin, name, kind
