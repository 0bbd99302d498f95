"""The index template for `logs-tailrace.*-*`: strict mappings, and how long lines are kept."""

from __future__ import annotations

from typing import Any

from tailrace.runtime.log_fields import FIELDS

MAPPINGS, SETTINGS, TEMPLATE = "tailrace-logs-mappings", "tailrace-logs-settings", "tailrace-logs"
PATTERN = "logs-tailrace.*-*"
# Above 100, which Elasticsearch's own template for `logs-*-*` has.
PRIORITY = 200
RETENTION = "14d"
# Longer values of keywords are kept, and not indexed: one could not be, beyond 32 KiB.
MAX_KEYWORD = 1_024

# What Filebeat says of where a line comes from, and of one that is no JSON.
_SHIPPED: dict[str, str] = {
    "host.name": "keyword",
    "container.id": "keyword",
    "container.name": "keyword",
    "log.file.path": "keyword",
    "log.offset": "long",
    "stream": "keyword",
    "tags": "keyword",
}


def component_templates() -> dict[str, Any]:
    """Returns the two component templates, by name."""
    return {
        MAPPINGS: {
            "template": {"mappings": {"dynamic": "strict", "properties": properties()}},
            "_meta": {"description": "Every field of a log line of Tailrace"},
        },
        SETTINGS: {
            "template": {
                "settings": {
                    "index.codec": "best_compression",
                    "index.mapping.total_fields.limit": 400,
                    # Refused values must not cost the line: a text too large for its type, say.
                    "index.mapping.ignore_malformed": True,
                },
                "lifecycle": {"data_retention": RETENTION},
            },
            "_meta": {"description": "How log lines of Tailrace are kept"},
        },
    }


def index_template() -> dict[str, Any]:
    """Returns the index template, which makes data streams of the component templates."""
    return {
        "index_patterns": [PATTERN],
        "priority": PRIORITY,
        "data_stream": {},
        "composed_of": [MAPPINGS, SETTINGS],
        "_meta": {"description": "Log lines of Tailrace, a data stream for each service"},
    }


def properties() -> dict[str, Any]:
    """Returns the mapping of each field, nested as Elasticsearch wants it."""
    tree: dict[str, Any] = {}
    for name, kind in sorted({**_SHIPPED, **FIELDS}.items()):
        *groups, last = name.split(".")
        into = tree
        for group in groups:
            into = into.setdefault(group, {"properties": {}})["properties"]
        into[last] = _mapping(kind)
    return tree


def _mapping(kind: str) -> dict[str, Any]:
    if kind == "keyword":
        return {"type": kind, "ignore_above": MAX_KEYWORD}
    if kind == "flattened":
        return {"type": kind, "ignore_above": MAX_KEYWORD, "depth_limit": 3}
    return {"type": kind}
