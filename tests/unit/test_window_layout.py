"""Where the stored numbers of windowed views are, and the script that writes them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailrace.features.windows.layout import (
    BLOCK_TILES,
    distinct_suffixes,
    has_blocks,
    window_layout,
)
from tailrace.features.windows.layout_group import layout_groups
from tailrace.features.windows.schema import Statistic, window_schema
from tailrace.features.windows.script import window_script
from tests.support.window_world import windowed_view

VIEW = windowed_view(
    {
        "events": {"function": "count", "window": "1h"},
        "mean": {"function": "mean", "of": "x", "window": "1h"},
        "latest": {"function": "last", "of": "x", "window": "1h"},
        "mean_1d": {"function": "mean", "of": "x", "window": "1d", "tile": "1h"},
        "least_2d": {"function": "mean", "of": "x", "window": "2d", "tile": "2h"},
        "users": {"function": "distinct", "of": "user", "window": "1h"},
        "users_1d": {"function": "distinct", "of": "user", "window": "1d", "tile": "30m"},
    }
)


def test_numbers_of_a_tile_stand_by_input_and_statistic() -> None:
    layout = window_layout(window_schema(VIEW))
    minutes = layout.levels[0]
    assert minutes.columns == {
        (0, Statistic.COUNT): 1,
        (1, Statistic.COUNT): 2,
        (1, Statistic.LAST): 3,
        (1, Statistic.SUM): 6,
    }
    assert minutes.numbers == 7
    assert minutes.record_at == 5
    ends = [level.record_at + level.numbers for level in layout.levels]
    assert [level.records_at for level in layout.levels[1:]] == ends[:-1]
    assert layout.numbers == ends[-1]
    assert layout.head_bytes == 8 + 8 * layout.numbers


def test_a_tile_of_distinct_values_only_holds_its_number() -> None:
    layout = window_layout(window_schema(VIEW))
    assert [level.numbers for level in layout.levels] == [7, 1, 3, 3]


def test_levels_with_the_same_statistics_are_read_together() -> None:
    schema = window_schema(VIEW)
    groups = layout_groups(schema, window_layout(schema))
    assert [group.level_numbers for group in groups] == [(0,), (1,), (2, 3)]
    slots = [
        groups[2].slot(feature, statistic)
        for feature in schema.features
        if feature.level in (2, 3)
        for statistic in (Statistic.COUNT, Statistic.SUM)
    ]
    assert sorted(slots) == list(range(groups[2].slots))


@given(first=st.integers(-200, 200), tiles=st.integers(1, 200))
def test_blocks_and_tiles_make_up_the_window_and_nothing_else(first: int, tiles: int) -> None:
    level = window_schema(VIEW).levels[1]
    assert has_blocks(level)
    covered: list[int] = []
    for suffix in distinct_suffixes(level, first, first + tiles - 1):
        if suffix.startswith("b"):
            block = int(suffix[1:])
            covered += range(block * BLOCK_TILES, (block + 1) * BLOCK_TILES)
        else:
            covered.append(int(suffix))
    assert covered == list(np.arange(first, first + tiles))


def test_a_read_of_distinct_values_takes_few_keys_however_long_the_window() -> None:
    level = window_schema(VIEW).levels[1]
    assert max(len(distinct_suffixes(level, start, start + 511)) for start in range(16)) <= 62


def test_the_script_follows_from_the_schema_alone() -> None:
    script = window_script(window_schema(VIEW))
    assert script == window_script(window_schema(VIEW))
    other = windowed_view({"events": {"function": "count", "window": "1h"}})
    assert window_script(window_schema(other)).digest != script.digest


def test_an_entity_is_kept_longer_than_any_window_and_the_lateness() -> None:
    view = windowed_view({"n": {"function": "count", "window": "3h"}}, lateness="5h")
    assert window_script(window_schema(view)).life_ms > 8 * 3_600_000
