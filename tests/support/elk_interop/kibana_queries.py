"""What Kibana asks Elasticsearch for its saved objects: their queries and aggregations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OBJECTS = Path(__file__).parents[3] / "compose" / "elk" / "kibana" / "saved_objects.ndjson"


def search_bodies() -> dict[str, dict[str, Any]]:
    """Returns the body of the search behind each saved search and visualisation, by title."""
    bodies = {}
    for line in OBJECTS.read_text("utf-8").splitlines():
        each = json.loads(line)
        attributes = each["attributes"]
        if each["type"] == "search":
            bodies[attributes["title"]] = _documents(attributes)
        elif each["type"] == "visualization":
            bodies[attributes["title"]] = _aggregated(attributes)
    return bodies


def leaf_counts(aggregations: Mapping[str, Any]) -> list[float]:
    """Returns every number that aggregations end in; of buckets without metrics, their counts.

    Args:
        aggregations: as Elasticsearch answers them.
    """
    found: list[float] = []
    for each in aggregations.values():
        if not isinstance(each, Mapping):
            continue
        if "buckets" in each:
            for one in each["buckets"]:
                inner = leaf_counts(one)
                found += inner or [float(one["doc_count"])]
        elif "values" in each:
            found += [float(value) for value in each["values"].values() if value is not None]
        elif each.get("value") is not None:
            found.append(float(each["value"]))
    return found


def _documents(attributes: Mapping[str, Any]) -> dict[str, Any]:
    order = [
        {field: {"order": direction, "unmapped_type": "boolean"}}
        for field, direction in attributes["sort"]
    ]
    # A column that is no field of the mappings would stay empty without a word.
    return {
        "query": _query(attributes),
        "sort": order,
        "size": 500,
        "fields": [{"field": name} for name in attributes["columns"]],
        "_source": False,
    }


def _aggregated(attributes: Mapping[str, Any]) -> dict[str, Any]:
    aggregations = json.loads(attributes["visState"])["aggs"]
    metrics = [each for each in aggregations if each["schema"] == "metric"]
    buckets = [each for each in aggregations if each["schema"] != "metric"]
    return {"query": _query(attributes), "size": 0, "aggs": _nested(buckets, metrics)}


def _nested(
    buckets: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    if not buckets:
        # Kibana takes counts from the buckets themselves.
        return {
            each["id"]: {each["type"]: _known(each["params"])}
            for each in metrics
            if each["type"] != "count"
        }
    first, rest = buckets[0], buckets[1:]
    nested: dict[str, Any] = {first["type"]: _bucket(first)}
    inner = _nested(rest, metrics)
    if inner:
        nested["aggs"] = inner
    return {first["id"]: nested}


def _bucket(aggregation: Mapping[str, Any]) -> dict[str, Any]:
    params = _known(aggregation["params"])
    if aggregation["type"] == "date_histogram":
        return {"field": params["field"], "fixed_interval": "1s", "min_doc_count": 1}
    if aggregation["type"] == "terms":
        order = {params["orderBy"]: params["order"]}
        return {"field": params["field"], "size": params["size"], "order": order}
    return params


def _known(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "customLabel"}


def _query(attributes: Mapping[str, Any]) -> dict[str, Any]:
    source = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
    assert source["query"]["language"] == "lucene"
    # As Kibana sends what is written in Lucene's syntax.
    return {"query_string": {"query": source["query"]["query"], "analyze_wildcard": True}}
