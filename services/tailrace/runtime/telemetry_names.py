"""Names of metrics and log fields, with units. Nothing else spells one out."""

from __future__ import annotations

# Metrics (Prometheus).
CALLS_TOTAL = "tailrace_rpc_server_calls_total"
CALL_SECONDS = "tailrace_rpc_server_call_duration_seconds"
CALLS_IN_FLIGHT = "tailrace_rpc_server_calls_in_flight"
BUILD_INFO = "tailrace_build_info"
EVENT_LOOP_LAG_SECONDS = "tailrace_event_loop_lag_seconds"
SPANS_TOTAL = "tailrace_spans_total"
PREDICTION_SECONDS = "tailrace_prediction_duration_seconds"
HOP_SECONDS = "tailrace_hop_duration_seconds"
HOP_QUEUE_SECONDS = "tailrace_hop_queue_seconds"
HOP_NETWORK_SECONDS = "tailrace_hop_network_seconds"
HOP_WORK_SECONDS = "tailrace_hop_work_seconds"
HOP_BUDGET_SECONDS = "tailrace_hop_budget_seconds"
HOP_BUDGET_SPENT_RATIO = "tailrace_hop_budget_spent_ratio"
HOP_FAILURES_TOTAL = "tailrace_hop_failures_total"
HOP_ATTEMPTS_TOTAL = "tailrace_hop_attempts_total"
DEADLINE_MISSES_TOTAL = "tailrace_deadline_misses_total"
DEGRADED_TOTAL = "tailrace_degraded_predictions_total"
PREDICTIONS_TOTAL = "tailrace_predictions_total"
FEATURE_ROWS_TOTAL = "tailrace_feature_rows_total"
FEATURE_NULLS_TOTAL = "tailrace_feature_nulls_total"
FEATURE_AGE_SECONDS = "tailrace_feature_age_seconds"
FEATURE_CACHE_HITS_TOTAL = "tailrace_feature_cache_hits_total"
FEATURE_CACHE_MISSES_TOTAL = "tailrace_feature_cache_misses_total"
FEATURE_CACHE_INVALIDATIONS_TOTAL = "tailrace_feature_cache_invalidations_total"
FEATURE_CACHE_EVICTIONS_TOTAL = "tailrace_feature_cache_evictions_total"
FEATURE_CACHE_BYTES = "tailrace_feature_cache_bytes"
FEATURE_CACHE_ENTRIES = "tailrace_feature_cache_entries"
EVENTS_TOTAL = "tailrace_events_total"
EVENT_UPDATES_TOTAL = "tailrace_event_updates_total"
EVENT_APPLY_SECONDS = "tailrace_event_apply_duration_seconds"
EVENT_BATCHES_IN_PROGRESS = "tailrace_event_batches_in_progress"
EVENT_LAG_SECONDS = "tailrace_event_lag_seconds"
EVENT_STREAM_ENTRIES_TOTAL = "tailrace_event_stream_entries_total"
EVENT_PARTITIONS_HELD = "tailrace_event_partitions_held"
ROW_FAILURES_TOTAL = "tailrace_row_failures_total"
MODEL_CALL_SECONDS = "tailrace_model_call_duration_seconds"
MODEL_READY = "tailrace_model_ready"
CONVOY_ROWS = "tailrace_convoy_rows"
CONVOY_WAIT_SECONDS = "tailrace_convoy_wait_seconds"
CONVOYS_IN_FLIGHT = "tailrace_convoys_in_flight"
QUEUED_ROWS = "tailrace_queued_rows"
REFUSED_TOTAL = "tailrace_refused_requests_total"
SUBMISSIONS_TOTAL = "tailrace_submissions_total"
SUBMISSION_ACKNOWLEDGE_SECONDS = "tailrace_submission_acknowledge_seconds"
SUBMISSION_GROUP_ROWS = "tailrace_submission_group_rows"
WATCHES = "tailrace_prediction_watches"
DISPATCHER_CLAIMS_TOTAL = "tailrace_dispatcher_claims_total"
DISPATCHER_RESULTS_TOTAL = "tailrace_dispatcher_results_total"
DISPATCHER_POSTPONED_TOTAL = "tailrace_dispatcher_postponed_total"
DISPATCHER_FENCED_TOTAL = "tailrace_dispatcher_fenced_total"
DISPATCHER_BATCH_ROWS = "tailrace_dispatcher_batch_rows"
DISPATCHER_BATCHES_IN_FLIGHT = "tailrace_dispatcher_batches_in_flight"
DISPATCHER_BATCHES_LIMIT = "tailrace_dispatcher_batches_limit"
DISPATCHER_BATCH_ROWS_LIMIT = "tailrace_dispatcher_batch_rows_limit"
DISPATCHER_BREAKER_OPEN = "tailrace_dispatcher_breaker_open"
COURIER_ATTEMPTS_TOTAL = "tailrace_courier_attempts_total"
COURIER_MESSAGE_SECONDS = "tailrace_courier_message_duration_seconds"
COURIER_MESSAGE_ROWS = "tailrace_courier_message_rows"
COURIER_MESSAGES_IN_FLIGHT = "tailrace_courier_messages_in_flight"
COURIER_DELIVERED_TOTAL = "tailrace_courier_delivered_total"
COURIER_DEAD_TOTAL = "tailrace_courier_dead_total"
COURIER_FENCED_TOTAL = "tailrace_courier_fenced_total"
COURIER_DELIVERY_SECONDS = "tailrace_courier_delivery_seconds"
COURIER_BREAKERS = "tailrace_courier_breakers"
COURIER_UNWRITTEN = "tailrace_courier_unwritten_attempts"
COURIER_PUBLISHED_TOTAL = "tailrace_courier_published_total"
QUEUE_DELIVERIES = "tailrace_queue_deliveries"
QUEUE_DUE_SECONDS = "tailrace_queue_due_seconds"
QUEUE_SUBMISSIONS = "tailrace_queue_submissions"
QUEUE_OLDEST_SECONDS = "tailrace_queue_oldest_seconds"
LOG_LINES_DROPPED_TOTAL = "tailrace_log_lines_dropped_total"

# Buckets of latency histograms, in seconds.
LATENCY_BUCKETS_S = (
    0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip

# Buckets of the time until a result is delivered, in seconds.
DELIVERY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 86_400)

# Buckets of the age of stored features, in seconds: from a second to a month.
AGE_BUCKETS_S = (1, 5, 15, 60, 300, 900, 3600, 10_800, 43_200, 86_400, 259_200, 604_800, 2_592_000)

# Buckets of shares of what was granted.
SHARE_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25)

# Buckets of histograms of numbers of rows.
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

# Log fields (Elastic Common Schema where it has a name).
TRACE_ID = "trace.id"
SPAN_ID = "span.id"
EVENT_DATASET = "event.dataset"
EVENT_DURATION_NS = "event.duration"
EVENT_OUTCOME = "event.outcome"
ERROR_CODE = "error.code"
ERROR_ID = "error.id"
ERROR_MESSAGE = "error.message"
ERROR_STACK_TRACE = "error.stack_trace"
ERROR_TYPE = "error.type"
PROCESS_PID = "process.pid"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_ENVIRONMENT = "service.environment"
REQUEST_ID = "labels.request_id"
PIPELINE = "labels.pipeline"
PIPELINE_VERSION = "labels.pipeline_version"
HOP = "labels.hop"
REASON = "labels.reason"
MODEL = "labels.model"
MODEL_VERSION = "labels.model_version"
FIELD = "labels.field"
PARTITION = "labels.partition"
JOB = "labels.job"
RUN_ATTEMPT = "labels.run_attempt"
DELAY_MS = "labels.delay_ms"
PREDICTION_ID = "labels.prediction_id"
CALLBACK = "labels.callback"
TENANT = "labels.tenant"
QUALITY = "labels.quality"
ROWS = "labels.rows"
FAILED_ROWS = "labels.failed_rows"
DEAD_ROWS = "labels.dead_rows"
FAILURES = "labels.failures"
FUNCTION = "labels.function"
WORKER = "labels.worker"
WORKER_PID = "labels.worker_pid"
EXIT_STATUS = "labels.exit_status"
RESTART_AFTER_S = "labels.restart_after_s"
STATE = "labels.state"
PRIORITY = "labels.priority"
FAILED_HOP = "labels.failed_hop"
QUALITY_REASONS = "labels.quality_reasons"
VIEW_STATE = "labels.view_state"
LOGGER = "log.logger"
OUTPUT = "labels.output"
DROPPED_LINES = "labels.dropped_lines"
SUPPRESSED_LINES = "labels.suppressed_lines"
DATA_STREAM_TYPE = "data_stream.type"
DATA_STREAM_DATASET = "data_stream.dataset"
DATA_STREAM_NAMESPACE = "data_stream.namespace"
QUEUE_NS = "tailrace.queue_ns"
WORK_NS = "tailrace.work_ns"
VIEW_AGE_NS = "tailrace.view_age_ns"
DEADLINE_NS = "tailrace.ledger.deadline_ns"
TOTAL_NS = "tailrace.ledger.total_ns"
UNATTRIBUTED_NS = "tailrace.ledger.unattributed_ns"
CONVOY_WAIT_NS = "tailrace.ledger.convoy_wait_ns"
CONVOY_SIZE = "tailrace.ledger.convoy_rows"
# Objects whose keys are not ours to know: names of views, of request fields, of anything else.
VIEW_STATES = "tailrace.views"
REQUEST_FIELDS = "tailrace.request"
DETAILS = "tailrace.details"

# Of each hop in the line of a request.
HOP_FIELDS = (
    "start_ns", "duration_ns", "queue_ns", "network_ns", "work_ns", "budget_ns", "attempts",
    "placement", "critical", "code",
)  # fmt: skip


def hop_field(hop: str, part: str) -> str:
    """Returns the log field for one of `HOP_FIELDS` of a hop, such as `features`."""
    return f"tailrace.hop.{hop}.{part}"
