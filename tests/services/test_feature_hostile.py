"""Bytes, keys and instants that nobody meant, against a real Redis: right, or refused by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from tailrace.features.handler import LookupResult
from tailrace.features.state import FeatureState
from tailrace.runtime.errors import Code, FeaturesCorrupt, Reason
from tests.support.feature_world import NOW_US, FeatureWorld, MakeWorld, view
from tests.support.planned_lookups import PlannedLookups, planned

FRESH, STALE, MISSING = FeatureState.FRESH, FeatureState.STALE, FeatureState.MISSING
FEATURES: list[dict[str, Any]] = [
    {"name": "number", "type": "float64"},
    {"name": "whole", "type": "int64"},
    {"name": "flag", "type": "bool"},
    {"name": "colour", "type": "category", "values": ["red", "green"]},
    {"name": "vector", "type": "float32", "length": 3},
    {"name": "text", "type": "string"},
    {"name": "other", "type": "string"},
]
TABLE = {
    "id": ["x", "y", "z"],
    "number": [1.5, 2.5, 3.5],
    "whole": [1, 2, 3],
    "flag": [True, False, True],
    "colour": ["red", "green", "red"],
    "vector": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
    "text": ["Ä", "bc", ""],
    "other": ["d", "", "ef"],
}
NAMES = [str(feature["name"]) for feature in FEATURES]


def counted(view_name: str, state: str) -> float:
    labels = {"pipeline": "p", "view": view_name, "state": state}
    return REGISTRY.get_sample_value("tailrace_feature_rows_total", labels) or 0.0


def shown(found: LookupResult) -> list[list[str]]:
    """Returns the features of each row, as text, so that a NaN is like itself."""
    columns: list[list[Any]] = [list(found.columns[f"rich.{name}"].tolist()) for name in NAMES]
    return [[repr(value) for value in row] for row in zip(*columns, strict=True)]


async def mangled(
    world: FeatureWorld, forms: list[bytes]
) -> tuple[list[int], list[list[str]], dict[int, Any]]:
    """Looks up a row in each of these forms, between two that are sound.

    Returns:
        The states, and the features of each, with the failures by place in `forms`.
    """
    prefix = world.names.generation("rich", 1)
    with world.redis() as client:
        client.mset({f"{prefix}form{place}": form for place, form in enumerate(forms)})
    keys = ["x", *[f"form{place}" for place in range(len(forms))], "z"]
    batch, found = await world.look_up({"rich.id": keys})
    last = len(keys) - 1
    values = shown(found)
    assert values[0] == ["1.5", "1", "True", "0", "[1.0, 2.0, 3.0]", "'Ä'", "'d'"]
    assert values[-1] == ["3.5", "3", "True", "0", "[7.0, 8.0, 9.0]", "''", "'ef'"]
    assert not {0, last} & set(batch.rows.failures)
    states = found.views[0].states.tolist()
    assert states[0] == states[last] == FRESH
    failures = {row - 1: error for row, error in batch.rows.failures.items()}
    return states[1:-1], values[1:-1], failures


async def rich_world(make_world: MakeWorld) -> tuple[FeatureWorld, bytes]:
    world = make_world(view("rich", {}) | {"features": FEATURES}, max_keys=100_000)
    await world.load("rich", TABLE)
    with world.redis() as client:
        row = client.get(world.names.generation("rich", 1) + "y")
    assert isinstance(row, bytes)
    return world, row


async def test_a_row_cut_or_lengthened_anywhere_is_data_loss(make_world: MakeWorld) -> None:
    world, row = await rich_world(make_world)
    forms = [row[:length] for length in range(len(row))]
    forms += [row[:at] + bytes([byte]) + row[at:] for at in range(len(row) + 1) for byte in (0, 7)]
    before = counted("rich", "corrupt")
    states, _, failures = await mangled(world, forms)
    assert states == [0] * len(forms)
    assert sorted(failures) == list(range(len(forms)))
    assert {error.code for error in failures.values()} == {Code.DATA_LOSS}
    assert {error.reason for error in failures.values()} == {Reason.FEATURES_CORRUPT}
    assert counted("rich", "corrupt") == before + len(forms)


async def test_a_changed_byte_is_data_loss_or_changes_the_one_value_it_is_of(
    make_world: MakeWorld,
) -> None:
    world, row = await rich_world(make_world)
    _, (sound,), failures = await mangled(world, [row])
    assert not failures
    forms = [
        row[:at] + bytes([row[at] ^ change]) + row[at + 1 :]
        for at in range(len(row))
        for change in (1, 2, 16, 128, 255)
    ]
    states, values, failures = await mangled(world, forms)
    assert {error.code for error in failures.values()} == {Code.DATA_LOSS}
    told = set(failures)
    # Format, reserved bytes and schema: each change is told.
    assert told >= set(range(8 * 5))
    for place, (state, found) in enumerate(zip(states, values, strict=True)):
        if place in told:
            assert state == 0
            continue
        assert state == FRESH
        changed = [name for name, a, b in zip(NAMES, found, sound, strict=True) if a != b]
        # Bytes of `as_of` change none; where a text ends is the bound of two.
        assert len(changed) <= 1 or changed == ["text", "other"]


@pytest.mark.parametrize("as_of_us", [-(2**63), -(2**63) + 1, -(2**62) - NOW_US])
@pytest.mark.parametrize("policy", ["max_age", "ttl"])
async def test_a_row_of_the_farthest_past_is_never_taken_for_fresh(
    make_world: MakeWorld, as_of_us: int, policy: str
) -> None:
    world = make_world(view("thing", {"a": "float64"}, **{policy: "1h"}))
    await world.load("thing", {"id": ["x"], "a": [1.0]})
    with world.redis() as client:
        name = world.names.generation("thing", 1) + "x"
        row = client.get(name)
        assert isinstance(row, bytes)
        client.set(name, row[:8] + as_of_us.to_bytes(8, "little", signed=True) + row[16:])
    _, found = await world.look_up({"thing.id": ["x"]})
    assert found.views[0].states.tolist() == [STALE if policy == "max_age" else MISSING]


@pytest.mark.parametrize(
    "data",
    [
        b'{"generation": Infinity}',
        b"[" * 100_000,
        b"[]",
        b"1",
        b"\xff",
        b'{"generation": "one"}',
        b'{"generation": 1, "schema_id": 1e400}',
    ],
    ids=["infinity", "nested", "list", "number", "not-text", "text", "overflow"],
)
async def test_a_pointer_that_is_something_else_is_data_loss(
    make_world: MakeWorld, data: bytes
) -> None:
    world = make_world(view("thing", {"a": "float32"}))
    await world.load("thing", {"id": ["x"], "a": [1.0]})
    with world.redis() as client:
        client.set(world.names.pointer("thing"), data)
    with pytest.raises(FeaturesCorrupt, match="'thing'"):
        await world.look_up({"thing.id": ["x"]})


# -- keys -----------------------------------------------------------------------------------

ODD = [
    *["", " ", "|", "\\", "\\|", "a|b", "a\\", "{", "}", "{x}", "}:0", ":", "*", "?", "[a]"],
    *["\n", "\r\n", "\0", "a\0b", "é", "e\u0301", "日本", "🛫", "None", "\ufeff", "x" * 100_000],
]


async def test_every_text_is_a_key_of_its_own(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "int64"}))
    await world.load("thing", {"id": ODD, "a": list(range(len(ODD)))})
    batch, found = await world.look_up({"thing.id": [*ODD, "nobody"]})
    assert not batch.rows.failures
    assert found.columns["thing.a"].tolist() == [*range(len(ODD)), 0]
    assert found.views[0].states.tolist() == [FRESH] * len(ODD) + [MISSING]


async def test_keys_of_several_parts_do_not_run_into_each_other(make_world: MakeWorld) -> None:
    short = [text for text in ODD if len(text) < 10]
    pairs = [(one, two) for one in short for two in short]
    keys = {"keys": [{"name": "one"}, {"name": "two"}]}
    world = make_world(view("pair", {"a": "int64"}) | keys)
    columns = {"one": [one for one, _ in pairs], "two": [two for _, two in pairs]}
    await world.load("pair", {**columns, "a": list(range(len(pairs)))})
    _, found = await world.look_up({f"pair.{name}": cells for name, cells in columns.items()})
    assert found.columns["pair.a"].tolist() == list(range(len(pairs)))


# -- size -----------------------------------------------------------------------------------


async def test_a_view_of_1000_features_is_read_whole(make_world: MakeWorld) -> None:
    types = ["float64", "int64", "bool", "string", "float32"]
    features = {f"f{number}": types[number % 5] for number in range(1000)}
    world = make_world(view("wide", features))
    kinds: dict[str, Any] = {"float64": 1.5, "int64": 7, "bool": True, "string": "s", "float32": 2}
    table = {name: [kinds[kind], None] for name, kind in features.items()}
    await world.load("wide", {"id": ["x", "y"], **table})
    _, found = await world.look_up({"wide.id": ["x", "y", "z"]})
    for name, kind in features.items():
        zero = type(kinds[kind])()
        assert found.columns[f"wide.{name}"].tolist() == [kinds[kind], zero, zero]
    presence = found.views[0].presence
    assert presence is not None
    assert presence.sum(axis=0).tolist() == [1000, 0, 0]


async def test_vectors_of_the_greatest_length_are_read_whole(make_world: MakeWorld) -> None:
    feature = {"name": "v", "type": "float64", "length": 65_536}
    world = make_world(view("long", {}) | {"features": [feature]})
    vectors = [np.arange(65_536.0) + number for number in range(3)]
    await world.load("long", {"id": ["x", "y", "z"], "v": [each.tolist() for each in vectors]})
    _, found = await world.look_up({"long.id": ["z", "y", "nobody"]})
    column = found.columns["long.v"]
    assert (column[0] == vectors[2]).all() and (column[1] == vectors[1]).all()
    assert not column[2].any()


# -- instants -------------------------------------------------------------------------------


@pytest.mark.parametrize("at_us", [2**63 - 1, -(2**63), 2**62, 253_402_300_799_999_999])
async def test_an_instant_beyond_all_calendars_fails_its_row_only(
    make_world: MakeWorld, at_us: int
) -> None:
    world = make_world(view("thing", {"a": "float64"}, max_age="1h"))
    await world.load("thing", {"id": ["x"], "a": [1.0], "at": [NOW_US]}, timestamp_column="at")
    lookups = PlannedLookups(world, planned(world, "thing", has_instant=True))
    instants = [NOW_US, at_us, -1, 0]
    batch, found = await lookups.look_up({"thing.id": ["x"] * 4, "thing.@at": instants})
    assert list(batch.rows.failures) == [1]
    assert batch.rows.failures[1].code is Code.INVALID_ARGUMENT
    assert batch.rows.failures[1].field == "thing.@at"
    assert found.views[0].states.tolist() == [FRESH, 0, FRESH, FRESH]
    assert found.views[0].age_us.tolist() == [0, -1, 0, 0]
