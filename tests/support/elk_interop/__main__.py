"""`make interop-elk`: the project's real log lines in a genuine Elasticsearch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.elk_interop.elasticsearch_node import (
    ROOT,
    CannotRun,
    Elasticsearch,
    fetch_jars,
    running_node,
)
from tests.support.elk_interop.filebeat import shipped_lines
from tests.support.elk_interop.kibana_queries import leaf_counts, search_bodies
from tests.support.elk_interop.real_lines import SECRET, Written, write_lines

STREAMS = "logs-tailrace.*-*"


def main() -> int:
    """Returns 0 if everything holds, or if Elasticsearch cannot be had here, which it says."""
    try:
        jars = fetch_jars()
    except CannotRun as why:
        print(f"skipped: {why}")
        return 0
    with tempfile.TemporaryDirectory(prefix="tailrace-elk-") as folder:
        written = write_lines(Path(folder))
        print(f"{len(written.lines)} lines written by the mesh")
        with running_node(jars, Path(folder) / "node") as elasticsearch:
            about = elasticsearch.ask("GET", "/_nodes/_local")
            (node,) = about["nodes"].values()
            print(f"Elasticsearch {node['version']} at {elasticsearch.url}")
            _load_templates(elasticsearch)
            _check(elasticsearch, written, shipped_lines(written.lines, Path(folder)))
    return 0


def _check(elasticsearch: Elasticsearch, written: Written, shipped: list[str] | None) -> None:
    _refuses_unknown_fields(elasticsearch)
    _take(elasticsearch, written.lines, "as written")
    if shipped is not None:
        _take(elasticsearch, shipped, "by way of Filebeat")
    assert not [line for line in written.lines if SECRET in line], "a redacted value was written"
    print("no line shows a redacted value")
    for title, body in search_bodies().items():
        answer = elasticsearch.search(STREAMS, body)
        hits = answer["hits"]["total"]["value"]
        assert hits, f"{title}: no hits for {json.dumps(body)}"
        if "aggs" in body:
            numbers = leaf_counts(answer["aggregations"])
            assert any(number > 0 for number in numbers), f"{title}: {answer['aggregations']}"
            print(f"  {title}: {hits} hits, {len(numbers)} values")
        else:
            filled = Counter(field for hit in answer["hits"]["hits"] for field in hit["fields"])
            empty = [each["field"] for each in body["fields"] if each["field"] not in filled]
            print(
                f"  {title}: {hits} hits" + (f", no values of {', '.join(empty)}" if empty else "")
            )
    _joined(elasticsearch, written)


def _load_templates(elasticsearch: Elasticsearch) -> None:
    environment = {**os.environ, "ELASTICSEARCH_URL": elasticsearch.url, "KIBANA_URL": ""}
    script = ROOT / "compose" / "elk" / "load.sh"
    subprocess.run(["sh", str(script)], env=environment, check=True, stdout=subprocess.DEVNULL)
    loaded = elasticsearch.ask("GET", "/_index_template/tailrace-logs")
    assert loaded["index_templates"][0]["index_template"]["composed_of"]
    simulated = elasticsearch.ask("POST", "/_index_template/_simulate_index/logs-tailrace.x-y")
    assert simulated["template"]["mappings"]["dynamic"] == "strict"
    assert simulated["template"]["lifecycle"]["data_retention"] == "14d", simulated["template"]
    print("templates loaded")


def _refuses_unknown_fields(elasticsearch: Elasticsearch) -> None:
    line = json.dumps({"@timestamp": "2026-01-01T00:00:00Z", "unknown": 1})
    (answer,) = elasticsearch.bulk([("logs-tailrace.other-default", line)])
    assert answer["status"] == 400, f"an unknown field was taken: {answer}"
    assert answer["error"]["type"] == "strict_dynamic_mapping_exception"


def _take(elasticsearch: Elasticsearch, lines: Sequence[str], how: str) -> None:
    operations = [(_stream(json.loads(line)), line) for line in lines]
    refused: list[Any] = []
    streams: Counter[str] = Counter(stream for stream, _ in operations)
    for first in range(0, len(operations), 2_000):
        batch = operations[first : first + 2_000]
        answers = elasticsearch.bulk(batch)
        refused += [
            (answer["error"], line)
            for answer, (_, line) in zip(answers, batch, strict=True)
            if answer["status"] != 201
        ]
    assert not refused, f"{len(refused)} refused, such as {refused[0]}"
    malformed = elasticsearch.search(STREAMS, {"query": {"exists": {"field": "_ignored"}}})
    hits = malformed["hits"]["hits"]
    assert not hits, f"values that do not fit their type: {hits[0]}"
    print(f"{len(lines)} lines {how}, none refused: " + _listed(streams))


def _stream(line: dict[str, Any]) -> str:
    named = line["data_stream"]
    return f"{named['type']}-{named['dataset']}-{named['namespace']}"


def _joined(elasticsearch: Elasticsearch, written: Written) -> None:
    hops = {"ingest", "features", "inference", "postprocess"}
    looked_for = {
        "a prediction": (
            'message:"prediction made" AND event.dataset:"tailrace.gateway"',
            {"gateway"},
        ),
        "a submission": (
            f'labels.prediction_id:"{written.prediction_id}"',
            {"gateway", "dispatcher"},
        ),
        "a pushed submission": (
            'message:"result delivered"',
            {"gateway", "dispatcher", "courier"},
        ),
    }
    for what, (query, services) in looked_for.items():
        found = _one(elasticsearch, query)
        _across(elasticsearch, what, found["trace"]["id"], hops | services)


def _one(elasticsearch: Elasticsearch, query: str) -> Any:
    body = {"query": {"query_string": {"query": query}}, "size": 1}
    hits = elasticsearch.search(STREAMS, body)["hits"]["hits"]
    assert hits, f"nothing found by {query}"
    return hits[0]["_source"]


def _across(elasticsearch: Elasticsearch, what: str, trace_id: str, expected: set[str]) -> None:
    body = {
        "query": {"term": {"trace.id": trace_id}},
        "size": 0,
        "aggs": {"services": {"terms": {"field": "service.name", "size": 20}}},
    }
    buckets = elasticsearch.search(STREAMS, body)["aggregations"]["services"]["buckets"]
    services = {each["key"].removeprefix("tailrace."): each["doc_count"] for each in buckets}
    assert expected <= set(services), f"{what} {trace_id}: only {services}"
    print(f"{what} by its trace.id {trace_id}: {_listed(services)}")


def _listed(counts: Any) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
