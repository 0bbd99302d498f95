"""Settings of every process: the only module that reads the environment.

Each process loads one frozen model at its start. A bad setting stops the start with a list of
every bad one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailrace.runtime.placement import HOPS, check_placement, parse_placement

PREFIX = "TAILRACE_"
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
MAX_WORKERS = 64
MAX_REPLICAS = 64

PlacementText = Annotated[str, AfterValidator(check_placement)]


MAX_KEYS_PER_LOOKUP = 32_768


class SettingsError(Exception):
    """One or more settings cannot be used; the message lists every one of them."""


class ProcessSettings(BaseSettings):
    """What every process has. Environment variables: TAILRACE_ and the name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        # So that what writes environments, such as a compose file, can leave a setting alone.
        env_ignore_empty=True,
    )

    environment: str = "development"
    """ECS `service.environment` of every log line."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""
    log_sample_rate: float = Field(default=0.01, ge=0, le=1)
    """Share of requests with a log line per hop; failed and degraded requests always have one."""
    log_file: Path | None = None
    """Where log lines go, in place of standard output."""
    log_tcp: str | None = None
    """`host:port` of a Logstash that takes log lines over TCP, too."""
    log_namespace: str = Field(default="default", pattern=r"^[a-z0-9_.]{1,100}$")
    """Last part of the name of the data stream in Elasticsearch: logs-tailrace.<service>-<this>."""
    log_failures_per_s: float = Field(default=200, gt=0)
    """Most lines a second that tell a failure of one reason; the others are counted in a line."""
    log_payload_fields: tuple[str, ...] = ()
    """Request fields in the line about a prediction, as JSON such as ["origin"]; ["*"]: all."""
    log_redacted_fields: tuple[str, ...] = ()
    """Request fields that no line or span shows, not even an error's text, as JSON; ["*"]: all."""
    traces_endpoint: str | None = None
    """Base URL of an OTLP/HTTP receiver, such as http://127.0.0.1:4318; without one, none."""
    traces_file: Path | None = None
    """Where finished spans go as OTLP JSON, one object a line, in place of the receiver."""
    traces_sample_rate: float = Field(default=0.01, ge=0, le=1)
    """Share of requests that are traced, of those whose callers have not decided it."""
    traces_follow_callers: bool = True
    """Whether a caller's traceparent decides if its request is traced; if not, the rate does."""
    traces_slow_share: float = Field(default=0.8, gt=0)
    """A request that takes more than this share of its deadline is traced afterwards."""
    traces_afterwards_per_s: float = Field(default=20, ge=0)
    """Most requests a second that are traced afterwards, because they were slow or failed."""
    traces_interval_ms: int = Field(default=5_000, ge=1)
    """Longest that a finished span waits for others to be sent with, in milliseconds."""
    traces_queue_spans: int = Field(default=8_192, ge=1)
    """Most finished spans that wait to be sent; more are dropped and counted."""

    @field_validator("traces_endpoint")
    @classmethod
    def _endpoint_is_a_url(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            parts = urlsplit(endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname or _bad_port(parts):
                raise ValueError("expected a URL such as http://127.0.0.1:4318")
            if parts.query or parts.fragment:
                raise ValueError("expected a base URL, with no query")
        return endpoint

    @model_validator(mode="after")
    def _spans_go_one_way(self) -> ProcessSettings:
        if self.traces_endpoint is not None and self.traces_file is not None:
            raise ValueError(
                "TAILRACE_TRACES_ENDPOINT and TAILRACE_TRACES_FILE do not go together: spans go to "
                "a receiver or into a file"
            )
        return self

    @field_validator("log_tcp")
    @classmethod
    def _log_tcp_is_an_address(cls, value: str | None) -> str | None:
        host, _, port = (value or "").rpartition(":")
        if value is not None and not (host and port.isdigit() and 0 < int(port) < 65_536):
            raise ValueError("expected host:port")
        return value


class TransportSettings(ProcessSettings):
    """Credentials for listening and for calling."""

    tls_certificate_file: Path | None = None
    """PEM certificate chain of this process; with the key, switches mTLS on."""
    tls_key_file: Path | None = None
    """PEM private key of this process."""
    tls_ca_file: Path | None = None
    """PEM certificates that peers must be signed by."""
    tls_server_name: str | None = None
    """Name expected in the certificate of a called service, where it is not its host name."""
    allow_plaintext: bool = False
    """Allows listening without TLS on an address that is not loopback."""

    @model_validator(mode="after")
    def _tls_is_complete(self) -> TransportSettings:
        parts = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        if any(parts) and not all(parts):
            raise ValueError(
                "TAILRACE_TLS_CERTIFICATE_FILE, TAILRACE_TLS_KEY_FILE and TAILRACE_TLS_CA_FILE go "
                "together"
            )
        for part in parts:
            if part is not None and not part.is_file():
                raise ValueError(f"TLS file {part} is not there")
        return self

    @property
    def uses_tls(self) -> bool:
        """Whether this process speaks mTLS."""
        return self.tls_certificate_file is not None


class ServerSettings(TransportSettings):
    """What every process with a gRPC port has."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=0, ge=0, le=65_535)
    """gRPC port; 0 lets the system choose."""
    metrics_host: str = "127.0.0.1"
    """Address of the Prometheus port, which speaks plain HTTP whatever the gRPC port speaks."""
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    """Prometheus port; 0 lets the system choose."""
    event_loop_probe_ms: int = Field(default=100, ge=1)
    """How often to measure how late the event loop is, in milliseconds."""
    ready_file: Path | None = None
    """Where to write pid and ports, as JSON, once they are bound."""
    pipelines_dir: Path = Path("pipelines")
    """Directory of the pipeline files; the views are in `features` beside it."""
    pipelines_poll_ms: int = Field(default=1000, ge=10)
    """How often to look for changed pipeline files, in milliseconds."""
    reflection: bool = True
    """Whether to serve gRPC reflection; switch it off in production."""
    max_message_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Largest message sent or received, in bytes."""
    max_metadata_bytes: int = Field(default=16 * 1024, ge=1024)
    """Largest request metadata, in bytes."""
    max_batch_rows: int = Field(default=4096, ge=1)
    """Most rows of one batch."""
    max_concurrent_calls: int = Field(default=10_000, ge=1)
    """Most calls in flight; more are refused with RESOURCE_EXHAUSTED."""
    drain_grace_ms: int = Field(default=10_000, ge=0)
    """How long calls in flight may take to finish on SIGTERM, in milliseconds."""
    join_port: bool = False
    """Shares the port with others that do so too (SO_REUSEPORT), as gateway workers do."""
    niceness: int = Field(default=0, ge=0, le=19)
    """How far other processes of the machine go first, as nice(1) says; 10 for background work."""
    own_port: int = Field(default=0, ge=0, le=65_535)
    """Port beside a shared one, for this process alone; for worker i of a gateway, this plus i."""

    @model_validator(mode="after")
    def _plaintext_stays_on_loopback(self) -> ServerSettings:
        if self.host not in LOOPBACK_HOSTS and not (self.uses_tls or self.allow_plaintext):
            raise ValueError(
                f"refusing to listen without TLS on {self.host}; set "
                "TAILRACE_TLS_CERTIFICATE_FILE, TAILRACE_TLS_KEY_FILE and TAILRACE_TLS_CA_FILE, or "
                "TAILRACE_ALLOW_PLAINTEXT=true where the network is trusted"
            )
        return self


class IngestSettings(ServerSettings):
    """The ingest service."""

    offload_cells: int = Field(default=20_000, ge=1)
    """Batches of at least this many rows times columns are worked on off the event loop."""


class FeatureStoreSettings(ServerSettings):
    """What every process that holds features has."""

    feature_redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis that holds the features: redis://, rediss:// or unix:// ."""
    feature_key_prefix: str = Field(default="tailrace", pattern=r"^[A-Za-z0-9_\-.]{1,64}$")
    """Prefix of every key in the feature Redis."""


class FeaturesSettings(FeatureStoreSettings):
    """The feature service."""

    feature_redis_connections: int = Field(default=1, ge=1)
    """Connections to keep to Redis."""
    max_keys_per_lookup: int = Field(default=MAX_KEYS_PER_LOOKUP, ge=1)
    """Most keys of one lookup: rows times views, each element of a list counted."""
    feature_cache_bytes: int = Field(default=0, ge=0)
    """Most bytes of the cache of what lookups have read, overhead included; 0: no cache."""
    feature_cache_ttl_ms: int = Field(default=60_000, ge=1)
    """How long the cache may use what it has read, in milliseconds."""
    feast_redis_url: str | None = None
    """Redis that Feast writes; by default, the one that holds the features."""


class EventsSettings(FeatureStoreSettings):
    """The event service: keeps windowed views up to date."""

    events_durability: Literal["always", "everysec", "none"] = "everysec"
    """What the feature Redis must do (`appendfsync`) with events before they are acknowledged."""
    events_max_unanswered: int = Field(default=16, ge=1)
    """Most batches of one stream in progress; no more are read before some are answered."""
    events_max_bytes: int = Field(default=268_435_456, ge=1)
    """About how much memory batches of all streams in progress may take; others wait."""
    events_group_max: int = Field(default=1024, ge=1)
    """About how many events are sent to the feature Redis at once, for one view."""
    events_apply_timeout_ms: int = Field(default=5_000, ge=1)
    """How long the feature Redis may take for them, in milliseconds; then it counts as down."""
    events_idle_timeout_ms: int = Field(default=300_000, ge=1)
    """How long a stream may be silent, or its caller not read, in milliseconds."""
    events_partitions: int = Field(default=0, ge=0, le=256)
    """Number of Redis streams that events are read from, too; 0 reads none."""
    events_read_count: int = Field(default=512, ge=1, le=4096)
    """Most entries read at once from one of these streams."""
    events_lease_ms: int = Field(default=5_000, ge=100)
    """How long a process that is not heard of keeps its share of these streams, in milliseconds."""
    events_dead_max: int = Field(default=100_000, ge=1)
    """Most entries kept of those that could not be taken in from these streams, about."""


class InferenceSettings(ServerSettings):
    """The inference service."""

    inference_backend: Literal["triton", "onnxruntime"] = "triton"
    """What runs the models."""
    triton_url: str = "127.0.0.1:8001"
    """gRPC target of Triton."""
    triton_plaintext: bool = False
    """Calls Triton without TLS even where this process has TLS, as for one on the same machine."""
    model_repository: Path | None = None
    """Triton model repository; the onnxruntime backend reads `<model>/<version>/model.onnx`."""
    model_substitutes: dict[str, str] = Field(default_factory=dict)
    """Models to call in place of those that pipelines name, as JSON such as {"a": "a_gpu"}."""
    onnx_intra_op_threads: int = Field(default=1, ge=1)
    """Threads of one ONNX Runtime session."""
    model_max_in_flight: int = Field(default=32, ge=1)
    """Most calls at once to one version of a model."""
    model_max_queue: int = Field(default=256, ge=0)
    """Most calls that wait for one version of a model; more are refused."""
    model_poll_ms: int = Field(default=500, ge=10)
    """How often to check that the models are ready, in milliseconds."""

    @model_validator(mode="after")
    def _onnx_has_repository(self) -> InferenceSettings:
        if self.inference_backend == "onnxruntime" and self.model_repository is None:
            raise ValueError(
                "TAILRACE_INFERENCE_BACKEND=onnxruntime needs TAILRACE_MODEL_REPOSITORY"
            )
        return self


class PostprocessSettings(ServerSettings):
    """The postprocess service."""

    offload_cells: int = Field(default=20_000, ge=1)
    """Batches of at least this many rows times columns are worked on off the event loop."""


HOP_SETTINGS: dict[str, type[ServerSettings]] = {
    "ingest": IngestSettings,
    "features": FeaturesSettings,
    "inference": InferenceSettings,
    "postprocess": PostprocessSettings,
}
"""The settings of each hop, as a service of its own or inside the gateway."""


class QueueSettings(ServerSettings):
    """What every process with a hand in submissions has."""

    queue_redis_url: str | None = None
    """Redis that holds submissions: redis://, rediss:// or unix://; without one, there are none."""
    queue_redis_cluster: bool = False
    """Whether that Redis is a cluster, of which the URL names one node."""
    queue_key_prefix: str = Field(default="tailrace", pattern=r"^[A-Za-z0-9_\-.]{1,64}$")
    """Prefix of every key in the queue Redis."""
    queue_partitions: int = Field(default=8, ge=1, le=256)
    """Parts of the queue, each on one node; cannot change while there are submissions."""
    queue_durability: Literal["always", "waitaof", "everysec", "none"] = "always"
    """What must be on disk before a submission is acknowledged; see the docs on submissions."""
    submission_ttl_s: int = Field(default=86_400, ge=1)
    """How long a submission may wait to run before it expires, in seconds."""
    result_ttl_s: int = Field(default=86_400, ge=1)
    """How long a result is kept after it is final and delivered or given up, in seconds."""
    dead_letter_ttl_s: int = Field(default=14 * 86_400, ge=1)
    """How long a dead letter is kept, in seconds."""
    changes_ttl_s: int = Field(default=3600, ge=1)
    """How far back a watch can be resumed, in seconds."""
    output_stream_max: int = Field(default=100_000, ge=1)
    """Most results that the `predictions` stream keeps for other systems, about."""


class CallbackSettings(QueueSettings):
    """What callbacks may be."""

    callback_allowed_networks: tuple[str, ...] = ()
    """Networks that are not public and that callbacks may be in, as JSON such as ["10.0.0.0/8"]."""
    callback_allow_plaintext: bool = False
    """Whether callbacks may be called without TLS: http:// and grpc:// ."""
    callback_ca_file: Path | None = None
    """PEM certificates that callbacks' are signed by, in place of the public authorities."""


class GatewaySettings(CallbackSettings):
    """The gateway."""

    max_submission_bytes: int = Field(default=256 * 1024, ge=1)
    """Largest request of one submission, in bytes."""
    max_queued_submissions: int = Field(default=500_000, ge=1)
    """Most submissions that wait; more are refused."""
    allow_inline_callbacks: bool = False
    """Whether a submission may name a target that is not registered."""

    ingest_target: str = "127.0.0.1:50061"
    """gRPC target of the ingest service."""
    features_target: str = "127.0.0.1:50062"
    """gRPC target of the feature service."""
    inference_target: str = "127.0.0.1:50063"
    """gRPC target of the inference service."""
    postprocess_target: str = "127.0.0.1:50064"
    """gRPC target of the postprocess service."""
    max_attempts: int = Field(default=2, ge=1, le=5)
    """Most calls of one hop for one batch, the first included."""
    max_fields: int = Field(default=1000, ge=1)
    """Most fields of one request."""
    placement: PlacementText = "remote"
    """Where hops run: `remote` (services), `local` (in the gateway), or `ingest=local,…`."""
    workers: int = Field(default=1, ge=1, le=MAX_WORKERS)
    """Processes that share the gateway's port; worker i has TAILRACE_METRICS_PORT plus i."""
    convoy_max_rows: int = Field(default=256, ge=1)
    """Most requests of one convoy."""
    max_keys_per_lookup: int = Field(default=MAX_KEYS_PER_LOOKUP, ge=1)
    """Most keys of one convoy: no more than the feature service has, which refuses such lookups."""
    convoy_max_in_flight: int = Field(default=4, ge=1)
    """Most convoys of one pipeline version in flight at once."""
    convoy_max_window_ms: float = Field(default=20, ge=0)
    """Longest wait of a request for company in its convoy, in milliseconds."""
    convoy_target_share: float = Field(default=0.5, gt=0, le=1)
    """Share of a pipeline's default deadline below which convoys' p95 is kept."""
    max_queued_rows: int = Field(default=8192, ge=1)
    """Most requests of one pipeline version that wait for a convoy; more are refused."""
    stream_max_unanswered: int = Field(default=2048, ge=1)
    """Most unanswered requests of one stream; no more are read before some are answered."""
    stream_idle_timeout_ms: int = Field(default=300_000, ge=1)
    """How long a stream may be silent, or its caller not read, in milliseconds."""


class DispatcherSettings(GatewaySettings):
    """The dispatcher: takes submissions from the queue through the same chain as the gateway."""

    niceness: int = Field(default=10, ge=0, le=19)
    """How far other processes of the machine go first: nobody waits for a dispatcher."""
    dispatcher_max_rows: int = Field(default=256, ge=1)
    """Most submissions taken from the queue at once."""
    dispatcher_max_in_flight: int = Field(default=4, ge=1)
    """Most batches of submissions in flight at once."""
    dispatcher_lease_ms: int = Field(default=30_000, ge=100)
    """How long a submission that was taken may stay unheard of before another may take it."""
    dispatcher_deadline_ms: int | None = Field(default=None, ge=1)
    """Deadline of a submission's run; by default, the pipeline's longest."""
    dispatcher_max_attempts: int = Field(default=5, ge=1)
    """How often a submission may end its dispatcher, or its hops, before it is a dead letter."""
    dispatcher_queue_target_ms: float = Field(default=5, gt=0)
    """Queue time at the hops above which fewer batches are kept in flight, in milliseconds."""

    @model_validator(mode="after")
    def _needs_queue(self) -> DispatcherSettings:
        if self.queue_redis_url is None:
            raise ValueError("TAILRACE_QUEUE_REDIS_URL is needed")
        return self


# The schedule of Standard Webhooks 1.0.0, in seconds after the attempt before.
STANDARD_RETRY_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
MAX_RETRY_S = 30 * 86_400


class CourierSettings(CallbackSettings):
    """The courier: pushes results to callbacks."""

    niceness: int = Field(default=10, ge=0, le=19)
    """How far other processes of the machine go first, as for the dispatcher."""
    courier_retry_s: tuple[Annotated[float, Field(ge=0, le=MAX_RETRY_S)], ...] = STANDARD_RETRY_S
    """Waits between attempts, in seconds, as JSON; after the last, a result is a dead letter."""
    courier_jitter: float = Field(default=0.1, ge=0, le=1)
    """Largest share by which each wait is lengthened, at random."""
    courier_attempt_timeout_ms: int = Field(default=15_000, ge=1)
    """Longest that one attempt may take, where the callback does not say, in milliseconds."""
    courier_max_in_flight: int = Field(default=256, ge=1)
    """Most messages to callbacks in flight."""
    courier_callback_in_flight: int = Field(default=16, ge=1)
    """Most messages to one callback in flight, where it does not say."""
    courier_breaker_failures: int = Field(default=10, ge=1)
    """Failures in a row after which a callback is left alone for a while."""
    courier_breaker_open_ms: int = Field(default=30_000, ge=1)
    """How long it is left alone before one attempt is made, in milliseconds."""

    @model_validator(mode="after")
    def _needs_queue(self) -> CourierSettings:
        if self.queue_redis_url is None:
            raise ValueError("TAILRACE_QUEUE_REDIS_URL is needed")
        return self


class LauncherSettings(TransportSettings):
    """The launcher of a whole mesh on one machine, and what asks for its state."""

    state_dir: Path = Path(".tailrace")
    """Folder for state files, logs and caches."""
    redis_server_path: Path | None = None
    """The `redis-server` to run; by default the one on PATH, else the one inside a wheel."""
    triton_server_path: Path | None = None
    """The `tritonserver` to run; by default the one on PATH, else the one inside a wheel."""
    inference_backend: Literal["triton", "onnxruntime"] = "triton"
    """What runs the models."""
    gpu: bool = False
    """Lets Triton see the GPUs, and runs the models that the example has for them."""
    ports: dict[str, int] = Field(default_factory=dict)
    """gRPC port by process name, as JSON; 0 or none lets the system choose."""
    metrics_ports: dict[str, int] = Field(default_factory=dict)
    """Prometheus port by process name, as JSON; 0 or none lets the system choose."""
    placement: PlacementText = "remote"
    """Where hops run, as for the gateway; hops inside it get no process of their own."""
    workers: int = Field(default=1, ge=1, le=MAX_WORKERS)
    """Processes that share the gateway's port."""
    replicas: dict[str, int] = Field(default_factory=dict)
    """Processes by hop, as JSON such as {"ingest": 2}; one of each that is not named."""
    submissions: bool = True
    """Whether to take submissions: runs a queue Redis, a dispatcher and a courier."""
    queue_durability: Literal["always", "waitaof", "everysec", "none"] = "always"
    """What must be on disk before a submission is acknowledged; the queue Redis is run so."""
    keep_queue: bool = False
    """Whether what the queue holds is there again at the mesh's next start."""

    @model_validator(mode="after")
    def _replicas_are_of_services(self) -> LauncherSettings:
        places = parse_placement(self.placement)
        for hop, count in self.replicas.items():
            if hop not in HOPS:
                raise ValueError(
                    f"TAILRACE_REPLICAS: there is no hop {hop!r}; there are {', '.join(HOPS)}"
                )
            if not 1 <= count <= MAX_REPLICAS:
                raise ValueError(
                    f"TAILRACE_REPLICAS: {hop} cannot have {count} replicas, but 1 to "
                    f"{MAX_REPLICAS}"
                )
            if count > 1 and places[hop] == "local":
                raise ValueError(
                    f"TAILRACE_REPLICAS: {hop} is placed in the gateway and has no replicas"
                )
        return self


def _bad_port(parts: SplitResult) -> bool:
    try:
        return parts.port == 0
    except ValueError:
        return True


def _without_credentials(value: object) -> str:
    # User and password of a URL must not get into logs.
    return re.sub(r"//[^/\s]*@", "//...@", repr(value))


Settings = TypeVar("Settings", bound=ProcessSettings)


def load_settings(model: type[Settings], **overrides: object) -> Settings:
    """Returns the settings from the environment, `overrides` first.

    Raises:
        SettingsError: lists every setting that cannot be used.
    """
    try:
        return model(**overrides)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        lines = []
        for detail in error.errors(include_url=False):
            name = "_".join(str(part) for part in detail["loc"]).upper()
            message = detail["msg"].removeprefix("Value error, ")
            found = f" (found {_without_credentials(detail['input'])})" if detail["loc"] else ""
            lines.append(f"  {PREFIX + name if name else 'settings'}: {message}{found}")
        raise SettingsError("unusable settings:\n" + "\n".join(lines)) from error
