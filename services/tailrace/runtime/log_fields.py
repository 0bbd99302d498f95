"""Every field that a log line may have, with its type in Elasticsearch: the only list of them.

Lines keep to it (what it does not name goes below `tailrace.details`), and the index template in
`compose/elk` is made of it, so that strict mappings never refuse a line.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.placement import HOPS

# Of the types that Elasticsearch has without a licence.
FieldType: TypeAlias = Literal[
    "boolean", "date", "double", "flattened", "integer", "keyword", "long", "text"
]

_KEYWORDS = (
    "log.level", "ecs.version", names.LOGGER,
    names.TRACE_ID, names.SPAN_ID,
    names.EVENT_DATASET, names.EVENT_OUTCOME,
    names.DATA_STREAM_TYPE, names.DATA_STREAM_DATASET, names.DATA_STREAM_NAMESPACE,
    names.SERVICE_NAME, names.SERVICE_VERSION, names.SERVICE_ENVIRONMENT,
    names.ERROR_CODE, names.ERROR_ID, names.ERROR_TYPE,
    names.REQUEST_ID, names.PIPELINE, names.PIPELINE_VERSION, names.HOP, names.REASON,
    names.MODEL, names.MODEL_VERSION, names.FIELD, names.JOB, names.PREDICTION_ID,
    names.CALLBACK, names.TENANT, names.QUALITY, names.FUNCTION, names.WORKER, names.STATE,
    names.PRIORITY, names.FAILED_HOP, names.QUALITY_REASONS, names.VIEW_STATE, names.OUTPUT,
)  # fmt: skip
_LONGS = (
    names.EVENT_DURATION_NS, names.PROCESS_PID, names.PARTITION, names.RUN_ATTEMPT,
    names.DELAY_MS, names.ROWS, names.FAILED_ROWS, names.DEAD_ROWS, names.FAILURES,
    names.WORKER_PID, names.EXIT_STATUS, names.DROPPED_LINES, names.SUPPRESSED_LINES,
    names.QUEUE_NS, names.WORK_NS, names.DEADLINE_NS, names.TOTAL_NS, names.UNATTRIBUTED_NS,
    names.CONVOY_WAIT_NS, names.CONVOY_SIZE, names.VIEW_AGE_NS,
)  # fmt: skip
_HOP_TYPES: dict[str, FieldType] = {
    "attempts": "integer",
    "placement": "keyword",
    "critical": "boolean",
    "code": "keyword",
}

FIELDS: dict[str, FieldType] = {
    "@timestamp": "date",
    "message": "text",
    names.ERROR_MESSAGE: "text",
    names.ERROR_STACK_TRACE: "text",
    **dict.fromkeys(_KEYWORDS, "keyword"),
    **dict.fromkeys(_LONGS, "long"),
    names.RESTART_AFTER_S: "double",
    names.VIEW_STATES: "flattened",
    names.REQUEST_FIELDS: "flattened",
    names.DETAILS: "flattened",
    **{
        names.hop_field(hop, part): _HOP_TYPES.get(part, "long")
        for hop in HOPS
        for part in names.HOP_FIELDS
    },
}
"""Type by dotted name."""
