"""What is committed for Elasticsearch, Logstash, Filebeat and Kibana, as far as Python can tell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tailrace.cli.elk.__main__ import ELK_DIR, files
from tailrace.cli.elk.index_template import component_templates, properties
from tailrace.cli.elk.log_dashboard import saved_objects
from tailrace.runtime.log_fields import FIELDS

_TOKEN = re.compile(r'\s+|#[^\n]*|"[^"\n]*"|=>|==|!|[{}\[\],]|[\w.@/${}:-]+')
# A setting that another pipeline or version would do without a word.
_PLUGINS = {"beats", "tcp", "mutate", "elasticsearch", "json_lines"}


def test_the_committed_files_are_what_the_code_makes() -> None:
    for file, text in files(ELK_DIR).items():
        assert file.read_text("utf-8") == text, f"{file} is stale: run `make elk`"


def test_the_mappings_have_every_field_and_refuse_others() -> None:
    mappings = component_templates()["tailrace-logs-mappings"]["template"]["mappings"]
    assert mappings["dynamic"] == "strict"
    for name, kind in FIELDS.items():
        at: Any = {"properties": properties()}
        for part in name.split("."):
            at = at["properties"][part]
        assert at["type"] == kind, name


def test_no_type_needs_a_licence() -> None:
    text = json.dumps(component_templates())
    assert "constant_keyword" not in text
    assert "wildcard" not in text
    assert "lifecycle.name" not in text


def test_saved_objects_refer_to_each_other_and_to_known_fields_only() -> None:
    objects = {(each["type"], each["id"]) for each in saved_objects()}
    for each in saved_objects():
        for reference in each["references"]:
            assert (reference["type"], reference["id"]) in objects
        attributes = each["attributes"]
        for column in attributes.get("columns", ()):
            assert column in FIELDS, column
        for aggregation in json.loads(attributes.get("visState", "{}")).get("aggs", ()):
            field = aggregation["params"].get("field")
            assert field is None or field in FIELDS, field
        source = json.loads(
            attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}")
        )
        query = source.get("query", {}).get("query", "")
        for field in re.findall(r"([\w.]+):", re.sub(r'"[^"]*"', '""', query)):
            assert field in FIELDS, field


def test_filebeat_reads_json_lines_and_hands_them_to_logstash() -> None:
    settings = yaml.safe_load((ELK_DIR / "filebeat" / "filebeat.yml").read_text())
    for each in settings["filebeat.inputs"]:
        (ndjson,) = [parser["ndjson"] for parser in each["parsers"] if "ndjson" in parser]
        assert each["type"] == "filestream"
        assert ndjson["target"] == ""
        assert ndjson["overwrite_keys"] and ndjson["expand_keys"]
    assert "output.logstash" in settings


def test_the_logstash_pipeline_follows_its_grammar() -> None:
    pipeline = _parsed(ELK_DIR / "logstash" / "pipeline" / "tailrace.conf")
    assert [section for section, _ in pipeline] == ["input", "filter", "output"]
    plugins = {name for _, body in pipeline for name in re.findall(r"(\w+) \{", body)}
    assert plugins - {"if"} == _PLUGINS
    output = pipeline[2][1]
    assert "data_stream => true" in output
    assert "data_stream_auto_routing => true" in output


def _parsed(file: Path) -> list[tuple[str, str]]:
    """Returns the sections with their bodies; fails on anything that is no token, or unbalanced."""
    text, at, depth, words = file.read_text(), 0, 0, []
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None, f"{file}: {text[at : at + 40]!r}"
        token, at = match.group(), match.end()
        if token.isspace() or token.startswith("#"):
            continue
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token, 0)
        assert depth >= 0, f"{file}: one bracket too many before {text[at : at + 40]!r}"
        words.append((token, depth))
    assert depth == 0, f"{file}: a bracket is open at its end"
    sections: list[tuple[str, str]] = []
    for token, level in words:
        if level == 0 and token != "}":
            sections.append((token, ""))
        else:
            name, body = sections[-1]
            sections[-1] = name, f"{body} {token}".strip()
    return sections
