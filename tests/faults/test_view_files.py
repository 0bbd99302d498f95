"""View files that nobody meant: each is told with file, line and what was expected, at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tailrace.features.plan import compile_lookup
from tailrace.runtime.pipeline.directory import load_directory, load_views
from tests.support.feature_world import view, write_pipeline

STATIC = """\
view: v
entity: e
keys: [{name: id}]
features:
  - {name: f, type: float64}
"""
WINDOWED = """\
view: v
entity: e
keys: [{name: id}]
source: {type: events, event: ev, tile: 1m}
features:
  - {name: f, type: float64, aggregate: {function: sum, of: x, window: 1h}}
"""
EVENT = """\
event: ev
fields: {id: {type: string}, x: {type: double, required: false}, n: {type: int64}}
"""


def nested(levels: int, each: str) -> str:
    """Returns anchors of which each stands for nine of the one before it."""
    lines = ["a0: &a0 {k: 1}"]
    for level in range(1, levels):
        names = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {each.format(names)}")
    return "\n".join(lines) + "\n" + STATIC


def with_feature(part: str) -> str:
    return STATIC.replace("type: float64", part)


def with_window(part: str) -> str:
    return WINDOWED.replace("window: 1h", part)


def told(folder: Path, content: str | bytes) -> list[str]:
    """Returns what is told of a view file; another one beside it is read in any case."""
    features, events = folder / "features", folder / "events"
    features.mkdir()
    events.mkdir()
    (events / "ev.yaml").write_text(EVENT)
    (features / "good.yaml").write_text(STATIC.replace("view: v", "view: good"))
    file = features / "v.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    found = load_views(features)
    assert "good" in found.views
    assert "v" not in found.views
    (error,) = found.errors.values()
    return str(error).replace(f"{file}:", "").splitlines()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0", "1: (top): found the character 0, expected printable text"),
        (b"a: b\nc: \xff\xff", "2: (top): found text that is not UTF-8 (invalid start byte), "
            "expected UTF-8"),
        ("[" * 100_000, "1: line 1, column 65: found lists or mappings nested too deep, "
            "expected YAML"),
        (STATIC + "---\n" + STATIC, "6: line 6, column 1: found another document, expected one "
            "in a file"),
        (STATIC + "tags: [" + "1," * 300_000 + "]", "6: line 6, column 499970: found more than "
            "250000 values, expected YAML"),
        ("view: &a {x: *a}", "1: (top): found aliases nested too deep, expected at most 64 levels"),
        (nested(12, "[{}]"), "1: (top): found 110324037715 values, expected at most 250000, "
            "aliases included"),
        (nested(10, "{{<<: [{}]}}"), "1: (top): found 1470987192 values, expected at most 250000, "
            "aliases included"),
        (with_feature("type: int64, default: 0x" + "f" * 5000), "5: features[0].default: found "
            "a number of 20000 bits, expected a value that int64 can hold"),
        (with_feature("type: float64, length: true"), "5: features[0].length: found true, "
            "expected a number"),
        (STATIC + "max_age: 200000000d", "6: max_age: found '200000000d', expected a duration of "
            "at most 1000000d"),
        (with_window("window: since_midnight, timezone: America"), "6: features[0].aggregate."
            "timezone: found 'America', expected an IANA time zone such as America/New_York"),
        (with_window("window: 1h, where: [{field: x, at_least: .nan}]"), "6: features[0].aggregate."
            "where[0].at_least: found nan for 'x', expected a value of type double"),
        (with_window("window: 1h, where: [{field: n, equals: 0x" + "f" * 15 + "}]"), "6: features"
            "[0].aggregate.where[0].equals: found 1152921504606846975 for 'n', expected a value "
            "of type int64"),
        (with_window("window: 1h, where: [{field: x, at_least: yes}]"), "6: features[0].aggregate."
            "where[0].at_least: found true, expected a number"),
    ],
    ids=["nul", "not-text", "deep", "two", "long", "itself", "aliases", "merges", "huge-number",
         "length", "age", "zone", "nan", "beyond-int64", "bool"],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    assert told(tmp_path, content) == [message]


def test_of_very_many_problems_the_first_are_told_and_the_others_counted(tmp_path: Path) -> None:
    names = "".join(f"name{number}: 1\n" for number in range(50_000))
    first, *others = told(tmp_path, STATIC + names)
    assert first.endswith("49800 more problems, expected none")
    assert len(others) == 200
    assert others[0].startswith("6: name0: found the unknown name 'name0'")


def test_tiles_of_too_many_sizes_are_refused(tmp_path: Path) -> None:
    feature = "  - {{name: g{0}, type: float64, aggregate: {{function: sum, of: x, {1}}}}}\n"
    sizes = [f"window: {2 * size}s, tile: {size}s" for size in range(61, 80)]
    lines = [feature.format(number, part) for number, part in enumerate(sizes)]
    (message,) = told(tmp_path, WINDOWED + "".join(lines))
    assert message == (
        "22: features[16].aggregate.tile: found a tile size of its own, 76s, expected at most 16 "
        "sizes of tiles in a view"
    )


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    features = tmp_path / "features"
    features.mkdir()
    os.mkfifo(features / "v.yaml")
    (error,) = load_views(features).errors.values()
    assert "found a pipe or a device, expected a readable file" in str(error)


def test_the_longest_duration_can_be_reckoned_with(tmp_path: Path) -> None:
    content = view("thing", {"a": "float64"}, max_age="1000000d", ttl="1000000d")
    content["keys"] = [{"name": "at", "type": "timestamp", "granularity": "1000000d"}]
    loaded = load_directory(write_pipeline(tmp_path, [content]))
    assert not loaded.errors
    (planned,) = compile_lookup(loaded.pipelines["p"]).views
    assert planned.max_age_us == planned.ttl_us == 86_400_000_000 * 1_000_000
