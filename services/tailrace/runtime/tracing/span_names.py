"""Names of spans and of their attributes. Nothing else spells one out.

What has a name in OpenTelemetry's semantic conventions bears it
(https://opentelemetry.io/docs/specs/semconv/); the rest is under `tailrace.`, durations in
nanoseconds.
"""

from __future__ import annotations

# Spans of the gateway and the dispatcher.
PREDICT = "predict"
"""One request, from its receipt until its outcome. SERVER, or CONSUMER in a dispatcher."""
CONVOY = "convoy"
"""One convoy, from departure until its return; links to the requests it carries. INTERNAL."""
HOP_CALL = "hop {hop}"
"""One hop of a convoy, all attempts, as the ledger has it. CLIENT; INTERNAL for a local hop."""
SUBMIT = "submit"
"""One submission, until it is durable. PRODUCER."""
METHOD = "{method}"
"""A call that is no request for a prediction: administration, polls, watches. SERVER."""
# Spans of the services.
HOP_SERVE = "serve {hop}"
"""A hop's work on a convoy, inside its service. SERVER."""
FEATURE_READ = "redis read"
"""What a lookup reads, in one round trip; in none where the cache has all of it. CLIENT."""
MODEL_CALL = "model {model}"
"""One call of the model server. CLIENT."""
APPLY_EVENTS = "apply events"
"""A batch of events, until lookups see them. SERVER, or CONSUMER from a Redis stream."""
# Spans of the courier.
PUSH = "push"
"""One attempt to push results to a callback. CLIENT; links to further submissions it carries."""

# Attributes of a process (https://opentelemetry.io/docs/specs/semconv/resource/).
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE = "service.instance.id"
ENVIRONMENT = "deployment.environment.name"
PROCESS_PID = "process.pid"
HOST_NAME = "host.name"

# Attributes of OpenTelemetry's conventions.
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"
ERROR_TYPE = "error.type"
ERROR_MESSAGE = "error.message"
"""What was wrong with a call, on the side that is not to blame and whose status is no error."""
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
DB_SYSTEM = "db.system.name"
MESSAGING_SYSTEM = "messaging.system"
BATCH_COUNT = "messaging.batch.message_count"

# Attributes of ours.
REQUEST_ID = "tailrace.request_id"
PREDICTION_ID = "tailrace.prediction_id"
PIPELINE = "tailrace.pipeline"
PIPELINE_VERSION = "tailrace.pipeline_version"
TENANT = "tailrace.tenant"
QUALITY = "tailrace.quality"
REASON = "tailrace.reason"
SAMPLED_BY = "tailrace.sampled_by"
"""Why the span is told: one of the four words below."""
BY_CALLER = "caller"
"""Whoever is above it has decided so."""
BY_RATIO = "ratio"
BY_FAILURE = "failed"
BY_SLOWNESS = "slow"
HOP = "tailrace.hop"
PLACEMENT = "tailrace.placement"
ATTEMPTS = "tailrace.attempts"
CRITICAL = "tailrace.critical"
ROWS = "tailrace.rows"
FAILED_ROWS = "tailrace.failed_rows"
DURATION_NS = "tailrace.duration_ns"
QUEUE_NS = "tailrace.queue_ns"
NETWORK_NS = "tailrace.network_ns"
WORK_NS = "tailrace.work_ns"
BUDGET_NS = "tailrace.budget_ns"
DEADLINE_NS = "tailrace.deadline_ns"
CONVOY_WAIT_NS = "tailrace.convoy_wait_ns"
UNATTRIBUTED_NS = "tailrace.unattributed_ns"
VIEWS = "tailrace.views"
KEYS = "tailrace.keys"
"""Keys that a lookup is about; those read are what its cache has not hit."""
CACHE_HITS = "tailrace.cache_hits"
COMMANDS = "tailrace.commands"
"""Commands that a lookup sends beside the one that reads its keys."""
EVENT = "tailrace.event"
EVENTS = "tailrace.events"
REFUSED = "tailrace.refused"
PARTITION = "tailrace.partition"
MODEL = "tailrace.model"
MODEL_VERSION = "tailrace.model_version"
CALLBACK = "tailrace.callback"
ALREADY_SUBMITTED = "tailrace.already_submitted"
"""Whether the submission was there already: the span is that of a repetition."""
DEAD_ROWS = "tailrace.dead_rows"
"""Results of a push that are not tried again."""
ATTEMPT = "tailrace.attempt"


def ledger_attribute(hop: str, part: str) -> str:
    """Returns the attribute of a request's span that says what a hop spent.

    Args:
        hop: name of the hop.
        part: `start_ns`, `duration_ns`, `queue_ns`, `network_ns`, `work_ns` or `budget_ns`.
    """
    return f"tailrace.ledger.{hop}.{part}"
