"""How many rows of a pipeline travel together, given what they grow to on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.gateway.served_chains import convoy_bounds
from tailrace.runtime.config import MAX_KEYS_PER_LOOKUP, GatewaySettings
from tailrace.runtime.pipeline.directory import load_directory
from tests.support.pipeline_files import VIEWS, write_yaml

MEBIBYTE = 1024 * 1024


def most_rows(
    folder: Path,
    field: dict[str, Any],
    columns: list[str],
    message_bytes: int,
    max_keys: int = MAX_KEYS_PER_LOOKUP,
) -> int:
    """Most rows of a convoy, where `zones` is such a field, and features of it are looked up."""
    content = {
        "pipeline": "rank",
        "version": "1",
        "request": {"fields": {"driver": {"type": "string"}, "zones": field}},
        "features": {
            "views": [
                {"view": "driver", "keys": {"driver": "request.driver"}},
                {"view": "place", "keys": {"zone": "request.zones"}},
            ]
        },
        "model": {
            "name": "m",
            "inputs": [{"name": "x", "dtype": "float32", "columns": columns}],
            "outputs": [{"name": "y", "dtype": "float32", "shape": [1]}],
        },
        "postprocess": {"outputs": [{"name": "y"}]},
    }
    for name, view in VIEWS.items():
        write_yaml(folder / "features" / f"{name}.yaml", view)
    loaded = load_directory(write_yaml(folder / "pipelines" / "rank.yaml", content).parent)
    assert loaded.errors == {}
    settings = GatewaySettings(
        convoy_max_rows=256, max_message_bytes=message_bytes, max_keys_per_lookup=max_keys
    )
    return convoy_bounds(loaded.pipelines["rank"], settings).max_rows


@pytest.mark.parametrize(
    ("max_items", "max_keys", "expected"),
    [
        (None, 32_768, 256),
        (100, 32_768, 256),
        (1_000, 32_768, 32_768 // 1_001),
        (10_000, 32_768, 32_768 // 10_001),
        (100, 1_000, 1_000 // 101),
        (100, 10, 1),
        (1_000, 1_000_000, 256),
    ],
)
def test_no_more_keys_are_looked_up_than_one_lookup_may_have(
    tmp_path: Path, max_items: int | None, max_keys: int, expected: int
) -> None:
    field: dict[str, Any] = {"type": "int64"}
    if max_items is not None:
        field["max_items"] = max_items

    assert most_rows(tmp_path, field, ["driver.rides"], 16 * MEBIBYTE, max_keys) == expected


def test_lists_do_not_outgrow_a_message(tmp_path: Path) -> None:
    field = {"type": "int64", "max_items": 1_000}
    narrow, wide = ["place.busy"], ["place.busy", "zones"]
    message_bytes = MEBIBYTE // 8

    # The request's own 8 bytes an item, or what the model reads: 4 of `busy`, 8 of `zones`.
    assert most_rows(tmp_path / "narrow", field, narrow, message_bytes) == 16
    assert most_rows(tmp_path / "wide", field, wide, message_bytes) == 10
