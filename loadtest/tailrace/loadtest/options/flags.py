"""The flags: ghz's, under the names that they have there, and those that it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.loadtest.options import kinds
from tailrace.loadtest.options.kinds import Kind
from tailrace.loadtest.options.load_options import DurationStop, Format, Schedule


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag, and the key of a configuration file that has the same name.

    Attributes:
        name: without dashes in front.
        kind: what it takes.
        help: what it does.
        short: the letter of its short form; empty if it has none.
        field: the field of `LoadOptions` that it sets.
    """

    name: str
    kind: Kind
    help: str
    short: str = ""
    field: str = ""

    def __post_init__(self) -> None:
        if not self.field:
            object.__setattr__(self, "field", self.name.replace("-", "_"))


_SCHEDULE = kinds.choice(Schedule, placeholder="SHAPE")
_STOP = kinds.choice(DurationStop, placeholder="WAY")
_FORMAT = kinds.choice(Format, placeholder="FORM")
_BALANCING = kinds.choice(("pick_first", "round_robin"), placeholder="WAY")
_PROGRESS = kinds.choice(("auto", "plain", "off"), placeholder="WAY")

METHOD = (
    Flag("call", kinds.TEXT, "the method, as package.Service/Method or package.Service.Method"),
    Flag("proto", kinds.PATH, "the .proto file that declares it; without, reflection tells"),
    Flag("protoset", kinds.PATH, "a compiled protoset that declares it; --proto comes first"),
    Flag(
        "import-paths",
        kinds.PATHS,
        "where --proto's imports are looked for, beside its own folder and this one",
        "i",
    ),
    Flag("reflect-metadata", kinds.STRINGS_TEXT, "metadata of the reflection call only"),
)
DATA = (
    Flag(
        "data", kinds.DATA, "what calls send; an array is a stream's messages; @ reads stdin", "d"
    ),
    Flag(
        "data-file", kinds.PATH, "file with it: JSON, or a document a line (.ndjson, .jsonl)", "D"
    ),
    Flag("binary", kinds.SWITCH, "stdin holds messages in protobuf's binary form", "b"),
    Flag("binary-file", kinds.PATH, "file with messages in protobuf's binary form", "B"),
    Flag("metadata", kinds.METADATA, "metadata of each call", "m"),
    Flag("metadata-file", kinds.PATH, "file with it", "M"),
    Flag("disable-template-functions", kinds.SWITCH, "templates know variables, but no functions"),
    Flag("disable-template-data", kinds.SWITCH, "data and metadata are no templates"),
    Flag("seed", kinds.WHOLE, "of templates' random values, which then repeat from run to run"),
)
LOAD = (
    Flag("total", kinds.COUNT, "calls to make: 200", "n"),
    Flag("duration", kinds.DURATION, "make calls for so long, however many", "z"),
    Flag("max-duration", kinds.DURATION, "make --total calls, but for no longer than this", "x"),
    Flag(
        "duration-stop",
        _STOP,
        "calls in flight when time is up: close (the default) cancels "
        "them, wait counts them, ignore waits and does not",
    ),
    Flag(
        "timeout",
        kinds.DURATION,
        "deadline of each call: 20s; 0 for none",
        "t",
    ),
    Flag("skipFirst", kinds.COUNT, "so many of the first calls do not count", field="skip_first"),
    Flag("count-errors", kinds.SWITCH, "latencies are of failed calls, too"),
)
RATE = (
    Flag("rps", kinds.RATE, "calls a second; 0, the default, for no limit", "r"),
    Flag(
        "async",
        kinds.SWITCH,
        "open loop: calls start when they are due, whatever is in flight",
        field="async_",
    ),
    Flag(
        "max-in-flight",
        kinds.COUNT,
        "most calls in flight with --async: 10000",
    ),
    Flag("load-schedule", _SCHEDULE, "how the rate changes: const (the default), step or line"),
    Flag("load-start", kinds.RATE, "rate that step and line start from"),
    Flag("load-step", kinds.SIGNED_RATE, "what each step, or each second of a line, adds"),
    Flag("load-end", kinds.RATE, "rate that they end at"),
    Flag("load-step-duration", kinds.DURATION, "length of a step"),
    Flag("load-max-duration", kinds.DURATION, "after it, the rate stays what it is"),
)
CALLERS = (
    Flag(
        "concurrency",
        kinds.COUNT,
        "callers, each with one call at a time: 50",
        "c",
    ),
    Flag(
        "concurrency-schedule",
        _SCHEDULE,
        "how their number changes: const (the default), step or line",
    ),
    Flag("concurrency-start", kinds.COUNT, "callers that step and line start with"),
    Flag(
        "concurrency-step",
        kinds.WHOLE,
        "what each step, or each second of a line, adds: 1",
    ),
    Flag("concurrency-end", kinds.COUNT, "callers that they end with"),
    Flag("concurrency-step-duration", kinds.DURATION, "length of a step"),
    Flag("concurrency-max-duration", kinds.DURATION, "after it, their number stays what it is"),
    Flag("cpus", kinds.COUNT, "processes that make the load: 1"),
)
STREAMS = (
    Flag("stream-interval", kinds.DURATION, "time between the messages of a stream"),
    Flag("stream-call-duration", kinds.DURATION, "after it, the caller closes a stream"),
    Flag("stream-call-count", kinds.COUNT, "after so many messages, the caller closes a stream"),
    Flag(
        "stream-dynamic-messages",
        kinds.SWITCH,
        "templates are filled anew for each message of a stream",
    ),
)
CONNECTION = (
    Flag("insecure", kinds.SWITCH, "plaintext, without TLS"),
    Flag("cacert", kinds.PATH, "PEM file with the roots that the server is checked against"),
    Flag("cert", kinds.PATH, "PEM file with the client's certificate; needs --key"),
    Flag("key", kinds.PATH, "PEM file with the key of --cert"),
    Flag("cname", kinds.TEXT, "name that the server's certificate has to bear"),
    Flag("skipTLS", kinds.SWITCH, "take any certificate", field="skip_tls"),
    Flag("authority", kinds.TEXT, "what the server is called in :authority"),
    Flag(
        "connections",
        kinds.COUNT,
        "connections, which callers share evenly: 1",
    ),
    Flag(
        "connect-timeout",
        kinds.DURATION,
        "time for the first connection: 10s",
    ),
    Flag("keepalive", kinds.DURATION, "after so long without traffic, a ping; 0 for none"),
    Flag("lb-strategy", _BALANCING, "among a name's addresses: pick_first or round_robin"),
    Flag("enable-compression", kinds.SWITCH, "gzip what is sent", "e"),
    Flag("max-recv-message-size", kinds.SIZE, "longest answer"),
    Flag("max-send-message-size", kinds.SIZE, "longest message to send"),
)
REPORT = (
    Flag("output", kinds.PATH, "file for the report, in place of stdout", "o"),
    Flag(
        "format",
        _FORMAT,
        "summary (the default), csv, json, pretty, html, prometheus, "
        "influx-summary or influx-details",
        "O",
    ),
    Flag("hgrm", kinds.PATH, "file for the latencies' distribution in HdrHistogram's text form"),
    Flag("name", kinds.TEXT, "what the run is called"),
    Flag("tags", kinds.STRINGS, "words about it, in JSON's report and Influx's lines"),
    Flag("hops", kinds.SWITCH, "look at no answers: without it, Tailrace's tell hops and quality"),
    Flag("progress", _PROGRESS, "auto (the default: a live view on a terminal), plain or off"),
    Flag("debug", kinds.PATH, "file for the tool's own log, as lines of JSON"),
)
VERDICT = (
    Flag(
        "slo",
        kinds.TEXTS,
        "an objective, such as 'p99<20ms', 'errors<0.1%' or 'rps>=500'; repeatable",
    ),
    Flag("baseline", kinds.PATH, "JSON report of an earlier run; being worse fails the run"),
    Flag("baseline-tolerance", kinds.SHARE, "what counts as no worse: 5%"),
)

GROUPS = {
    "Method": METHOD,
    "Data": DATA,
    "How many calls": LOAD,
    "Rate": RATE,
    "Callers": CALLERS,
    "Streams": STREAMS,
    "Connection": CONNECTION,
    "Report": REPORT,
    "Verdict": VERDICT,
}

# Of which a run has one at most: where data comes from.
DATA_FIELDS = ("data", "data_file", "binary", "binary_file")
METADATA_FIELDS = ("metadata", "metadata_file")


def all_flags() -> Iterator[Flag]:
    """Yields all flags but --config, --help and --version, which set no option."""
    for flags in GROUPS.values():
        yield from flags


BY_NAME = {flag.name: flag for flag in all_flags()}
BY_SHORT = {flag.short: flag for flag in all_flags() if flag.short}
