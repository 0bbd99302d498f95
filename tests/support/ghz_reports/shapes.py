"""What a report looks like, whatever was measured: two runs of the same kind have equal shapes."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

# Where the tools, or two runs, differ for good reasons.
_VARIABLE_OPTIONS = ("host", "CPUs")
# Go tells a whole number without its fraction.
_REAL = ("rps", "mark", "frequency")
_NUMBER = re.compile(r"\d+(\.\d+)?( (ns|ms|s)\b)?")


def shape(form: str, text: str) -> Any:
    """Returns what a report looks like.

    Args:
        form: one of `FORMATS`.
        text: the report.

    Raises:
        ValueError: it is not of that form.
    """
    return _SHAPES[form](text)


def summary_shape(text: str) -> list[str]:
    """Returns its lines with N for numbers and times, without bars and what aligns columns."""
    lines = [_NUMBER.sub("N", re.sub(r" *\|∎*$", " |", line)) for line in text.split("\n")]
    # Columns are as wide as the widest number in them.
    return [re.sub(r"(?<=\S) +(?=\S)", " ", line) for line in lines]


def json_shape(text: str) -> Any:
    """Returns its keys in order and the types of their values; of options, the values."""
    return _typed("", json.loads(text))


def pretty_shape(text: str) -> Any:
    """Returns the same, if it is indented by two."""
    document = json.loads(text)
    if text.rstrip("\n") != json.dumps(document, ensure_ascii=False, indent=2):
        raise ValueError("it is not indented by two")
    return _typed("", document)


def csv_shape(text: str) -> list[Any]:
    """Returns its first lines, and what each row has beside its number."""
    empty, header, *rows = text.split("\n")
    if rows[-1] != "":
        raise ValueError("the last line does not end")
    told = {tuple(fields[1:2]) for fields in csv.reader(rows[:-1])}
    if not all(re.fullmatch(r"\d+\.\d\d", fields[0]) for fields in csv.reader(rows[:-1])):
        raise ValueError("a duration is no number with two digits")
    return [empty, header, told]


def prometheus_shape(text: str) -> dict[str, Any]:
    """Returns its metrics in order: type, and names and labels of their samples."""
    families: dict[str, Any] = {}
    for family in text_string_to_metric_families(text):
        samples = [
            (sample.name, _labels(sample.labels), "le" in sample.labels)
            for sample in family.samples
        ]
        families[family.name] = (family.type, samples)
    return families


def influx_shape(text: str) -> list[Any]:
    """Returns measurement, tags and fields of its first line; the others have to have them, too."""
    lines = [_influx_line(line) for line in text.strip("\n").split("\n")]
    for line in lines:
        if line != lines[0]:
            raise ValueError(f"{line} is unlike {lines[0]}")
    return lines[0]


def _influx_line(line: str) -> list[Any]:
    # Separators inside a value follow a backslash.
    series, fields, timestamp = re.split(r"(?<!\\) ", line)
    measurement, *tags = re.split(r"(?<!\\),", series)
    pairs = [re.split(r"(?<!\\)=", tag, maxsplit=1) for tag in tags]
    told = [(name, "" if name == "host" else value) for name, value in pairs]
    values = [re.split(r"(?<!\\)=", field, maxsplit=1) for field in re.split(r"(?<!\\),", fields)]
    kinds = [
        (name, "text" if value[0] == '"' else str(float(value) >= 0)) for name, value in values
    ]
    if not re.fullmatch(r"\d{19}", timestamp):
        raise ValueError(f"{timestamp} is no instant in nanoseconds")
    return [measurement, told, kinds]


def _labels(labels: dict[str, str]) -> list[tuple[str, str]]:
    variable = (*_VARIABLE_OPTIONS, "le")
    return sorted((key, "" if key in variable else value) for key, value in labels.items())


def _typed(key: str, value: Any) -> Any:
    if key == "options":
        return [(k, type(v).__name__ if k in _VARIABLE_OPTIONS else v) for k, v in value.items()]
    if isinstance(value, dict):
        return [(k, _typed(k, v)) for k, v in value.items() if k != "tailrace"]
    if isinstance(value, list):
        kinds = [_typed(key, each) for each in value]
        return [kind for place, kind in enumerate(kinds) if kind not in kinds[:place]]
    if key in ("date", "timestamp"):
        return _instant(value)
    if key == "percentage":
        return value
    return "number" if key in _REAL and isinstance(value, (int, float)) else type(value).__name__


def _instant(text: str) -> str:
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"
    matched = re.fullmatch(form, text)
    if matched is None:
        raise ValueError(f"{text} is no instant of RFC 3339")
    return "instant"


_SHAPES = {
    "summary": summary_shape,
    "json": json_shape,
    "pretty": pretty_shape,
    "csv": csv_shape,
    "prometheus": prometheus_shape,
    "influx-summary": influx_shape,
    "influx-details": influx_shape,
}
