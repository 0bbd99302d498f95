"""How rows fail in one view of a lookup."""

from __future__ import annotations

from datetime import datetime, timedelta

from tailrace.features.plan import LookupView
from tailrace.runtime.batch import Rows
from tailrace.runtime.errors import (
    FailedPrecondition,
    FeaturesCorrupt,
    NotFound,
    Reason,
    TailraceError,
)


class RowErrors:
    """Fails the rows of one view, by the place of their key; an element fails its row."""

    def __init__(self, view: LookupView, rows: Rows) -> None:
        """Keeps the parts.

        Args:
            view: the view.
            rows: gets the failures.
        """
        self._view = view
        self._rows = rows

    def missing(self, place: int) -> None:
        """There is no such entity, or its key is null."""
        message = f"view {self._view.name!r} has no entity of this key"
        self._fail(place, NotFound, message, Reason.ENTITY_NOT_FOUND, self._view.keys[0].field)

    def expired(self, place: int) -> None:
        """The features are older than the view's `ttl`."""
        message = (
            f"the features that view {self._view.name!r} has of this entity are older than its "
            f"ttl, {(self._view.ttl_us or 0) / 1e6:g} s"
        )
        self._fail(place, NotFound, message, Reason.ENTITY_NOT_FOUND, self._view.keys[0].field)

    def no_list(self, row: int) -> None:
        """The list of keys is null."""
        key = next(key for key in self._view.keys if key.is_list)
        message = f"view {self._view.name!r} has no entity, as the list of keys is null"
        error = NotFound(message, field=key.field, reason=Reason.ENTITY_NOT_FOUND)
        self._rows.fail(row, error)

    def null(self, place: int, feature: str) -> None:
        """A feature has no value where it must have one."""
        view = self._view.name
        message = f"view {view!r} has no value of {feature!r} for this entity"
        self._fail(place, NotFound, message, Reason.ENTITY_NOT_FOUND, f"{view}.{feature}")

    def not_kept(self, place: int, earliest_us: int) -> None:
        """The instant lies before what is kept of the entity."""
        earliest = datetime(1970, 1, 1) + timedelta(microseconds=earliest_us)
        message = (
            f"the instant lies before what view {self._view.name!r} keeps of this entity: the "
            f"earliest that it can answer for is {earliest.isoformat()}Z"
        )
        self._fail(place, FailedPrecondition, message, Reason.FEATURES_NOT_KEPT)

    def not_loaded(self, place: int) -> None:
        """The view was never loaded."""
        message = f"view {self._view.name!r} has not been loaded"
        self._fail(place, FailedPrecondition, message, Reason.VIEW_NOT_LOADED)

    def stale(self, place: int, age_us: int) -> None:
        """The features are older than the view allows."""
        message = (
            f"the features of view {self._view.name!r} are {age_us / 1e6:.3f} s old, older than "
            f"{(self._view.max_age_us or 0) / 1e6:g} s"
        )
        self._fail(place, FailedPrecondition, message, Reason.FEATURES_STALE)

    def corrupt(self, place: int, problem: str) -> None:
        """What is stored cannot be read."""
        message = f"a stored row of view {self._view.name!r} cannot be read: {problem}"
        self._fail(place, FeaturesCorrupt, message, Reason.FEATURES_CORRUPT)

    def mismatched(self, place: int, schema_id: int) -> None:
        """The view is stored under another schema."""
        view = self._view.view
        if view.kind == "windowed":
            mend = f"it needs a new generation: `tailrace features reset {view.view}`"
        else:
            mend = "load it anew"
        message = (
            f"view {self._view.name!r} is stored under schema {schema_id:08x}, expected "
            f"{self._view.source.schema.schema_id:08x}: {mend}"
        )
        self._fail(place, FeaturesCorrupt, message, Reason.FEATURES_CORRUPT)

    def _fail(
        self,
        place: int,
        error: type[TailraceError],
        message: str,
        reason: Reason,
        field: str = "",
    ) -> None:
        field = field or f"features.{self._view.name}"
        row, element = divmod(place, self._view.width)
        if self._view.elements is not None:
            field, message = f"{field}[{element}]", f"{message} (element {element} of the list)"
        self._rows.fail(row, error(message, field=field, reason=reason))
