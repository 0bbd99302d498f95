"""Names of metrics and log fields, with units. Nothing else spells one out."""

from __future__ import annotations

# Metrics (Prometheus).
CALLS_TOTAL = "tailrace_rpc_server_calls_total"
CALL_SECONDS = "tailrace_rpc_server_call_duration_seconds"
CALLS_IN_FLIGHT = "tailrace_rpc_server_calls_in_flight"
HOP_SECONDS = "tailrace_hop_duration_seconds"
HOP_ATTEMPTS_TOTAL = "tailrace_hop_attempts_total"
DEADLINE_MISSES_TOTAL = "tailrace_deadline_misses_total"
DEGRADED_TOTAL = "tailrace_degraded_predictions_total"
PREDICTIONS_TOTAL = "tailrace_predictions_total"
FEATURE_ROWS_TOTAL = "tailrace_feature_rows_total"
FEATURE_NULLS_TOTAL = "tailrace_feature_nulls_total"
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
QUEUE_SUBMISSIONS = "tailrace_queue_submissions"
QUEUE_OLDEST_SECONDS = "tailrace_queue_oldest_seconds"
LOG_LINES_DROPPED_TOTAL = "tailrace_log_lines_dropped_total"

# Buckets of latency histograms, in seconds.
LATENCY_BUCKETS_S = (
    0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip

# Buckets of histograms of numbers of rows.
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

# Log fields (Elastic Common Schema where it has a name).
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
RUN_ATTEMPT = "labels.run_attempt"
DELAY_MS = "labels.delay_ms"
PREDICTION_ID = "labels.prediction_id"
CALLBACK = "labels.callback"
TENANT = "labels.tenant"
QUALITY = "labels.quality"
ROWS = "labels.rows"
FAILED_ROWS = "labels.failed_rows"
FUNCTION = "labels.function"
QUEUE_NS = "labels.queue_ns"
WORK_NS = "labels.work_ns"
UNATTRIBUTED_NS = "labels.unattributed_ns"
CONVOY_WAIT_NS = "labels.convoy_wait_ns"
CONVOY_SIZE = "labels.convoy_rows"


def hop_duration_field(hop: int) -> str:
    """Returns the log field of a hop's duration in nanoseconds, by number of `tailrace.v1.Hop`."""
    return f"labels.{('unspecified', 'ingest', 'features', 'inference', 'postprocess')[hop]}_ns"
