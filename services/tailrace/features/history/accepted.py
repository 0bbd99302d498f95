"""Which events a view takes, of each entity, in the order in which they became known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.features.history.engine import Engine
from tailrace.features.history.event_table import EventTable, field_column
from tailrace.features.history.inputs import Inputs
from tailrace.runtime.pipeline.feature import EntityKey
from tailrace.runtime.pipeline.feature_view import FeatureView

_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The events that a view takes.

    Attributes:
        entities: table of the columns entity (a number from 0) and key_0, key_1 and so on.
        table: has the columns place, entity, known_at, and those of the inputs. `place` numbers
            the events from 0 by entity, then event time, then what tells apart events of one
            instant.
        entity: int64 [events], by place.
        event_time_us: int64 [events], by place, microseconds since 1970.
        duplicates: number of events that were there already.
        late: number of events that came too late.
    """

    entities: str
    table: str
    entity: NDArray[np.int64]
    event_time_us: NDArray[np.int64]
    duplicates: int
    late: int


def key_sql(key: EntityKey, column: str) -> str:
    """Returns SQL for a key's value: an instant is moved back to the granularity."""
    if key.granularity is None:
        return column
    size = key.granularity // _US
    # `//` of SQL rounds toward zero, the remainder has the sign of the instant.
    return f"({column} - (({column} % {size}) + {size}) % {size})"


def accepted_events(
    engine: Engine, view: FeatureView, events: EventTable, inputs: Inputs
) -> Accepted:
    """Returns the events that a view takes.

    An event is late where it lies further behind the newest one accepted before, of its entity,
    than the view's lateness; it is a duplicate where one of its id was accepted before and is
    not further behind.

    Args:
        engine: holds them.
        view: the view; its source are these events.
        events: of the view's event type.
        inputs: what of an event the view's aggregates use.
    """
    source = view.events
    fields = [source.keys.get(key.name, key.name) for key in view.keys]
    keys = [key_sql(k, field_column(f)) for k, f in zip(view.keys, fields, strict=True)]
    named = ", ".join(f"{sql} AS key_{place}" for place, sql in enumerate(keys))
    names = ", ".join(f"key_{place}" for place in range(len(keys)))
    entities = engine.create(
        "entities",
        f"SELECT row_number() OVER () - 1 AS entity, {names} "
        f"FROM (SELECT DISTINCT {named} FROM {events.table})",
    )
    # The newest time before an event may be taken over all events, also those refused: a late one
    # never raises it, nor does a duplicate that happened when its original did. Where ids come
    # with several times that does not hold, and the events are judged one by one.
    judged = engine.create(
        "judged",
        f"""
        SELECT entity, seq, event_time, known_at, id,
            coalesce(event_time < max(event_time) OVER before - {source.lateness // _US}, false)
                AS late,
            row_number() OVER same > 1 AS again,
            min(event_time) OVER twins <> max(event_time) OVER twins AS torn
        FROM (SELECT *, {named} FROM {events.table}) JOIN {entities} USING ({names})
        WINDOW before AS (PARTITION BY entity ORDER BY known_at, id, seq
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            same AS (PARTITION BY entity, id ORDER BY known_at, seq),
            twins AS (PARTITION BY entity, id)
        """,
    )
    _judge_torn(engine, judged, source.lateness // _US)
    counted = engine.table(
        f"SELECT count(*) FILTER (again AND NOT late) AS duplicates, "
        f"count(*) FILTER (late) AS late FROM {judged}"
    ).to_pylist()[0]
    order = "entity, event_time, ('0x' || left(md5(id), 12))::BIGINT, id"
    taken = engine.create(
        "accepted",
        f"""
        SELECT row_number() OVER (ORDER BY {order}) - 1 AS place, entity, event_time, known_at,
            {inputs.sql()}
        FROM (SELECT entity, seq FROM {judged} WHERE NOT late AND NOT again)
        JOIN {events.table} USING (seq)
        """,
    )
    engine.drop(judged)
    times = engine.table(f"SELECT entity, event_time FROM {taken} ORDER BY place")
    return Accepted(
        entities,
        taken,
        times["entity"].to_numpy(),
        times["event_time"].to_numpy(),
        counted["duplicates"],
        counted["late"],
    )


def newest_events(
    engine: Engine, accepted: Accepted, entity: NDArray[np.int64], at_us: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns when the newest event of each entity happened that is known at an instant.

    Args:
        engine: holds the events.
        accepted: the events.
        entity: int64 [instants], number of the entity.
        at_us: int64 [instants], microseconds since 1970.

    Returns:
        int64 [instants], microseconds since 1970; 0 where none is known.
    """
    asked = {"instant": np.arange(len(entity)), "entity": entity, "at_us": at_us}
    with engine.view_of(pa.table({name: pa.array(each) for name, each in asked.items()})) as name:
        found = engine.table(
            f"""
            SELECT coalesce(newest, 0) AS newest FROM {name} AS asked ASOF LEFT JOIN (
                SELECT entity, known_at, max(event_time) OVER (PARTITION BY entity ORDER BY known_at
                    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS newest
                FROM {accepted.table}
            ) AS known ON asked.entity = known.entity AND asked.at_us >= known.known_at
            ORDER BY instant
            """
        )
    return found["newest"].to_numpy()


def _judge_torn(engine: Engine, judged: str, lateness_us: int) -> None:
    """Judges anew the entities that have an id at several times."""
    rows = engine.table(
        f"SELECT entity, seq, event_time, id FROM {judged} "
        f"WHERE entity IN (SELECT entity FROM {judged} WHERE torn) "
        "ORDER BY entity, known_at, id, seq"
    )
    if not rows.num_rows:
        return
    columns = [rows[name].to_pylist() for name in ("entity", "event_time", "id")]
    late, again = judge_in_turn(zip(*columns, strict=True), lateness_us)
    verdicts = pa.table(
        {
            "seq": pa.array(rows["seq"].to_numpy()),
            "is_late": pa.array(late),
            "is_again": pa.array(again),
        }
    )
    with engine.view_of(verdicts) as name:
        engine.run(
            f"UPDATE {judged} SET late = is_late, again = is_again FROM {name} "
            f"WHERE {judged}.seq = {name}.seq"
        )


def judge_in_turn(
    events: Iterable[tuple[int, int, str]], lateness_us: int
) -> tuple[Sequence[bool], Sequence[bool]]:
    """Returns which events are late and which duplicates, judged one by one.

    Args:
        events: entity, event time and id, in the order in which they became known.
        lateness_us: of the view, microseconds.
    """
    late: list[bool] = []
    again: list[bool] = []
    newest: dict[int, int] = {}
    accepted: dict[tuple[int, str], int] = {}
    for entity, time_us, event_id in events:
        oldest = newest.get(entity, time_us) - lateness_us
        is_late = time_us < oldest
        before = accepted.get((entity, event_id))
        is_again = not is_late and before is not None and before >= oldest
        late.append(is_late)
        again.append(is_again)
        if not is_late and not is_again:
            accepted[entity, event_id] = time_us
            newest[entity] = max(newest.get(entity, time_us), time_us)
    return late, again
