"""What one load test is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Schedule(StrEnum):
    """How a rate, or a number of callers, changes with time."""

    CONST = "const"
    STEP = "step"
    LINE = "line"


class DurationStop(StrEnum):
    """What becomes of calls that are in flight when the time is up.

    CLOSE: they are cancelled, and count as errors. WAIT: they are waited for, and count.
    IGNORE: they are waited for, and do not count.
    """

    CLOSE = "close"
    WAIT = "wait"
    IGNORE = "ignore"


class Format(StrEnum):
    """In which form a run is told."""

    SUMMARY = "summary"
    CSV = "csv"
    JSON = "json"
    PRETTY = "pretty"
    HTML = "html"
    PROMETHEUS = "prometheus"
    INFLUX_SUMMARY = "influx-summary"
    INFLUX_DETAILS = "influx-details"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """One load test. Names and defaults are those of ghz 0.121's flags, with `_` for `-`.

    Times are in seconds, 0 where there is no limit. What ghz does not have comes last.

    Attributes:
        host: `HOST:PORT`, `dns:///HOST:PORT`, `unix:PATH`.
        proto: the .proto file that declares the method; None for reflection.
        protoset: a serialised FileDescriptorSet that does; `proto` comes first.
        import_paths: where imports of `proto` are looked for, beside its own folder and the
            working directory.
        call: `package.Service/Method` or `package.Service.Method`.
        insecure: plaintext.
        cacert: PEM file with the roots that the server is checked against; None for the system's.
        cert: PEM file with the client's certificate.
        key: PEM file with its key.
        cname: the name that the server's certificate is checked against.
        skip_tls: take any certificate.
        authority: `:authority`, instead of host and port.
        async_: open loop: calls are made when they are due, whatever is in flight.
        rps: calls a second; 0 for no limit. With a rate, a call is due at an instant of its own.
        load_schedule: how the rate changes.
        load_start: rate at the start, of step and line.
        load_step: what each step adds, or what a second adds (line); may be negative.
        load_end: rate at which it stops changing; 0 for none.
        load_step_duration: length of a step.
        load_max_duration: after it, the rate stays what it is.
        concurrency: callers at a time (closed loop: calls in flight).
        concurrency_schedule: how their number changes.
        concurrency_start: callers at the start, of step and line.
        concurrency_end: callers at which it stops changing; 0 for none.
        concurrency_step: what each step, or second, adds; may be negative.
        concurrency_step_duration: length of a step.
        concurrency_max_duration: after it, their number stays what it is.
        total: calls to make. Ignored where there is `duration`.
        timeout: deadline of each call.
        duration: how long calls are made.
        max_duration: no longer than this, though `total` calls were not made.
        duration_stop: what becomes of calls in flight then.
        data: JSON text, a template: one message, or an array of them; `@` for standard input.
        data_file: file with the same, or with a JSON document a line (.ndjson, .jsonl).
        binary: messages in protobuf's own form from standard input.
        binary_file: file with the same.
        metadata: JSON text, a template: one object, or an array of them.
        metadata_file: file with the same.
        stream_interval: time between the messages of a stream.
        stream_call_duration: after it, the caller closes a stream.
        stream_call_count: after so many messages sent, or received, the caller closes a stream.
        stream_dynamic_messages: templates are filled anew for each message of a stream.
        reflect_metadata: JSON text: metadata of the reflection call.
        output: file to write to; None for standard output.
        format: in which form.
        skip_first: so many of the first calls do not count.
        count_errors: failed calls count in latencies, too.
        connections: connections; callers are spread evenly.
        connect_timeout: time until the first connection has to stand.
        keepalive: after so long without traffic, a ping; 0 for none.
        name: what the run is called.
        tags: words about it.
        cpus: processes that make the load. One where ghz takes all cores: one makes more than
            ghz does on two (docs/load-testing.md).
        enable_compression: gzip.
        lb_strategy: `pick_first` or `round_robin`, among a name's addresses; None for the former.
        max_recv_message_size: bytes; None for no limit.
        max_send_message_size: bytes; None for no limit.
        disable_template_functions: templates know variables only.
        disable_template_data: data is taken as it is.
        debug: file for the tool's own log.
        slo: objectives, such as `p99<20ms`.
        baseline: report of an earlier run to compare with.
        baseline_tolerance: share by which it may be worse, 0.05 for 5 %.
        hgrm: file for the latencies' distribution in HdrHistogram's text form.
        hops: read Tailrace's answers: hops, quality.
        max_in_flight: most calls in flight in an open loop; what is due later waits, and is late.
        seed: of templates' random values; None for another each time.
        progress: `auto` (a terminal gets a live view, all else plain lines), `plain`, `off`.
        reader: `module:class` of a `ResponseReader` that reads answers in place of that of `hops`,
            made without arguments; empty for none.
        message_per_call: where callers send streams, each call sends the next message of the data,
            and not all of them.
    """

    host: str
    call: str
    proto: Path | None = None
    protoset: Path | None = None
    import_paths: tuple[Path, ...] = ()
    insecure: bool = False
    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    cname: str = ""
    skip_tls: bool = False
    authority: str = ""
    async_: bool = False
    rps: float = 0.0
    load_schedule: Schedule = Schedule.CONST
    load_start: float = 0.0
    load_step: float = 0.0
    load_end: float = 0.0
    load_step_duration: float = 0.0
    load_max_duration: float = 0.0
    concurrency: int = 50
    concurrency_schedule: Schedule = Schedule.CONST
    concurrency_start: int = 0
    concurrency_end: int = 0
    concurrency_step: int = 1
    concurrency_step_duration: float = 0.0
    concurrency_max_duration: float = 0.0
    total: int = 200
    timeout: float = 20.0
    duration: float = 0.0
    max_duration: float = 0.0
    duration_stop: DurationStop = DurationStop.CLOSE
    data: str = ""
    data_file: Path | None = None
    binary: bool = False
    binary_file: Path | None = None
    metadata: str = ""
    metadata_file: Path | None = None
    stream_interval: float = 0.0
    stream_call_duration: float = 0.0
    stream_call_count: int = 0
    stream_dynamic_messages: bool = False
    reflect_metadata: str = ""
    output: Path | None = None
    format: Format = Format.SUMMARY
    skip_first: int = 0
    count_errors: bool = False
    connections: int = 1
    connect_timeout: float = 10.0
    keepalive: float = 0.0
    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    cpus: int = 1
    enable_compression: bool = False
    lb_strategy: str | None = None
    max_recv_message_size: int | None = None
    max_send_message_size: int | None = None
    disable_template_functions: bool = False
    disable_template_data: bool = False
    debug: Path | None = None
    slo: tuple[str, ...] = ()
    baseline: Path | None = None
    baseline_tolerance: float = 0.05
    hgrm: Path | None = None
    hops: bool = True
    max_in_flight: int = 10_000
    seed: int | None = None
    progress: str = "auto"
    reader: str = ""
    message_per_call: bool = False

    @property
    def paced(self) -> bool:
        """True if calls are due at instants of their own: there is a rate."""
        return self.rps > 0 or self.load_schedule is not Schedule.CONST

    @property
    def open_loop(self) -> bool:
        """True if calls are made when they are due, whatever is in flight."""
        return self.async_
