"""Where the rows of a feature view come from."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tailrace.runtime.pipeline.aggregate import MIN_TILE
from tailrace.runtime.pipeline.base import ColumnName, Misfit, Name, SpecModel
from tailrace.runtime.pipeline.duration import Duration


class FileSource(SpecModel):
    """A Parquet or CSV file, loaded by `tailrace features load`.

    Attributes:
        path: relative to the view file.
        timestamp: column that says when each row was true; by default, the load's own time.
    """

    type: Literal["file"]
    path: str = Field(min_length=1)
    timestamp: ColumnName | None = None


class SqlSource(SpecModel):
    """A query or a table of DuckDB, loaded by `tailrace features load`.

    Attributes:
        query: a SELECT statement; DuckDB reads Parquet and CSV files in it, too.
        table: in place of a query, a table or view of the database.
        database: DuckDB file, relative to the view file; opened read-only.
        timestamp: column that says when each row was true; by default, the load's own time.
    """

    type: Literal["sql"]
    query: str | None = None
    table: str | None = None
    database: str | None = None
    timestamp: ColumnName | None = None

    @model_validator(mode="after")
    def _reads_something(self) -> SqlSource:
        if (self.query is None) == (self.table is None):
            found = "neither a query nor a table" if self.query is None else "a query and a table"
            raise Misfit(found, "one of query and table")
        if self.table is not None and self.database is None:
            raise Misfit("a table without a database", "the DuckDB file it is in", at=".table")
        return self


class FeastSource(SpecModel):
    """A feature view in a Redis online store that Feast writes; read in place, never written.

    Attributes:
        project: Feast's project.
        feature_view: Feast's name of the view.
        join_keys: Feast's join key for each key of the view; by default, the same name.
        features: Feast's name for each feature; by default, the same name.
        int32_keys: keys of the view whose entity is of type INT32 in Feast; other integers are
            INT64 there.
        key_version: Feast's `entity_key_serialization_version`.
    """

    type: Literal["feast"]
    project: str = Field(min_length=1)
    feature_view: str = Field(min_length=1)
    join_keys: dict[ColumnName, str] = {}
    features: dict[ColumnName, str] = {}
    int32_keys: list[ColumnName] = []
    key_version: Literal[3] = 3


class EventSource(SpecModel):
    """Events of one type, taken in by `tailrace serve events`.

    Attributes:
        event: name of the event type.
        keys: the event's field for each key of the view; by default, the same name.
        tile: size of the tiles that windows consist of, where a feature has no other.
        lateness: how far an event may lie behind the newest one of its entity. Later ones are
            refused; the ids of all others are remembered, so that each counts once.
    """

    type: Literal["events"]
    event: Name
    keys: dict[ColumnName, ColumnName] = {}
    tile: Duration
    lateness: Duration = timedelta(hours=1)

    @model_validator(mode="after")
    def _has_sound_tile(self) -> EventSource:
        if self.tile < MIN_TILE:
            raise Misfit(f"{self.tile}", "a tile of at least 1s", at=".tile")
        return self


ViewSource = Annotated[
    FileSource | SqlSource | FeastSource | EventSource, Field(discriminator="type")
]
