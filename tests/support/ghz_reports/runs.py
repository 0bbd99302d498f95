"""Runs that ghz and ours make with the same flags."""

from __future__ import annotations

# ghz asks for the file of a method; Python's reflection service knows that of services only.
_PROTO = "tests/support/load_protos/echo.proto"
_ECHO = ("--insecure", "--proto", _PROTO, "--call", "test.load.EchoService/Echo")
_COLLECT, _REPEAT, _CHAT = (
    (*_ECHO[:-1], f"test.load.EchoService/{method}") for method in ("Collect", "Repeat", "Chat")
)
_NAMED = ("--name", "my run", "--tags", '{"created by":"Joe, D","env":"x=1"}')
_STEPS = ("--load-schedule", "step", "--load-start", "50", "--load-end", "150")
_LINE = ("--concurrency-schedule", "line", "--concurrency-start", "1", "--concurrency-end", "3")

RUNS = {
    "answered": (
        *(*_ECHO, *_NAMED, "-n", "120", "-c", "4", "--connections", "2"),
        *("-d", '{"text":"a b","numbers":[1,2]}', "-m", '{"key":"a value"}'),
    ),
    "failed": (*_ECHO, "-n", "6", "-c", "2", "-d", '{"code":13,"message":"no, \\"never\\""}'),
    "scheduled": (
        *(*_ECHO, *_STEPS, "--load-step", "50", "--load-step-duration", "20ms", *_LINE),
        *("--concurrency-max-duration", "1s", "-n", "12", "-t", "5s", "-d", "{}"),
    ),
    "timed": (
        *(*_ECHO, "-z", "200ms", "-r", "100", "-c", "2", "--skipFirst", "2", "--count-errors"),
        *("--duration-stop", "wait", "--async", "--keepalive", "90s", "--connect-timeout", "3s"),
        *("-i", "tests,docs", "-d", "[{}]"),
    ),
    "collected": (
        *(*_COLLECT, "-n", "20", "-c", "2", "--stream-interval", "1ms"),
        *("-d", '[{"text":"a"},{"text":"b"},{"text":"c"}]'),
    ),
    "repeated": (*_REPEAT, "-n", "20", "-c", "2", "-d", '{"answers":5,"text":"again"}'),
    "chatted": (
        *(*_CHAT, "-n", "20", "-c", "2", "--stream-interval", "2ms", "--stream-call-count", "30"),
        *("--stream-call-duration", "25ms", "--stream-dynamic-messages"),
        *("-d", '{"text":"{{.RequestNumber}}"}'),
    ),
}
"""Flags by the run's name; without the format and the target."""

FORMATS = ("summary", "json", "pretty", "csv", "prometheus", "influx-summary", "influx-details")
"""Forms that both have; html has a shape of its own."""

LIVE_FORMATS = {run: ("summary", "json") for run in ("collected", "repeated", "chatted")}
"""Forms of those runs whose other forms are compared as they were recorded only."""
