"""Finds what is wrong with options before anything is called or written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.file_checks import check_readable, check_writable
from tailrace.loadtest.options.load_options import LoadOptions, Schedule

_CALL = re.compile(r"/?([A-Za-z_]\w*\.)*[A-Za-z_]\w*[./][A-Za-z_]\w*")
_SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "passthrough:")


def check_options(options: LoadOptions) -> None:
    """Returns if a run can be tried with these options.

    Raises:
        LoadError: it cannot; the first thing that is wrong.
    """
    for check in _CHECKS:
        check(options)


def _target(options: LoadOptions) -> None:
    if not options.call:
        raise LoadError("no method is named", "name it with --call package.Service/Method")
    if not _CALL.fullmatch(options.call):
        raise LoadError(
            f"--call: {options.call!r} is no method",
            "write package.Service/Method or package.Service.Method",
        )
    if not options.host:
        raise LoadError("no host is named", "HOST:PORT, such as 127.0.0.1:50050, comes as argument")
    if options.host.startswith(_SCHEMES):
        return
    port = options.host.rpartition(":")[2]
    if "/" in options.host or ":" not in options.host or options.host.endswith("]"):
        raise LoadError(
            f"{options.host!r} is no target", "write HOST:PORT, dns:///HOST:PORT or unix:PATH"
        )
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise LoadError(f"{options.host!r}: {port!r} is no port", "ports are 1 to 65535")


def _method(options: LoadOptions) -> None:
    if options.proto is not None and options.proto.suffix != ".proto":
        raise LoadError(
            f"--proto: {options.proto} does not end in .proto",
            "--protoset takes compiled descriptors",
        )
    for folder in options.import_paths:
        if not folder.is_dir():
            raise LoadError(
                f"--import-paths: {folder} is no folder", "long flags begin with two dashes"
            )


def _tls(options: LoadOptions) -> None:
    if (options.cert is None) is not (options.key is None):
        given, missing = ("--cert", "--key") if options.key is None else ("--key", "--cert")
        raise LoadError(
            f"{given} is there without {missing}", "a certificate and its key go together"
        )


def _data(options: LoadOptions) -> None:
    sources = {
        "--data": bool(options.data),
        "--data-file": options.data_file is not None,
        "--binary": options.binary,
        "--binary-file": options.binary_file is not None,
    }
    _one_of(sources, "data comes from one place")
    _one_of(
        {
            "--metadata": bool(options.metadata),
            "--metadata-file": options.metadata_file is not None,
        },
        "metadata comes from one place",
    )
    if options.stream_dynamic_messages and (options.binary or options.binary_file is not None):
        raise LoadError(
            "--stream-dynamic-messages is there with binary data", "templates are in JSON data"
        )


def _one_of(sources: dict[str, bool], hint: str) -> None:
    given = [name for name, there in sources.items() if there]
    if len(given) > 1:
        raise LoadError(f"{given[0]} and {given[1]} are both there", hint)


def _numbers(options: LoadOptions) -> None:
    _at_least_one("--concurrency", options.concurrency)
    _at_least_one("--connections", options.connections)
    _at_least_one("--cpus", options.cpus)
    _at_least_one("--max-in-flight", options.max_in_flight)
    if not options.duration:
        _at_least_one("--total", options.total)
        if options.skip_first > options.total:
            raise LoadError(
                f"--skipFirst {options.skip_first} is more than --total {options.total}",
                "no call would count",
            )
    if options.connections > options.concurrency:
        raise LoadError(
            f"--connections {options.connections} is more than --concurrency {options.concurrency}",
            "each connection needs a caller of its own",
        )
    for name, size in {
        "--max-recv-message-size": options.max_recv_message_size,
        "--max-send-message-size": options.max_send_message_size,
    }.items():
        if size is not None:
            _at_least_one(name, size)


def _at_least_one(name: str, number: int) -> None:
    if number < 1:
        raise LoadError(f"{name} is {number}", "it is 1 or more")


def _schedules(options: LoadOptions) -> None:
    _schedule(
        "load",
        options.load_schedule,
        options.load_start,
        options.load_end,
        options.load_step,
        options.load_step_duration,
    )
    _schedule(
        "concurrency",
        options.concurrency_schedule,
        options.concurrency_start,
        options.concurrency_end,
        options.concurrency_step,
        options.concurrency_step_duration,
    )


def _schedule(
    what: str, shape: Schedule, start: float, end: float, step: float, step_duration: float
) -> None:
    if shape is Schedule.CONST:
        return
    named = f"--{what}-schedule {shape}"
    if start == end:
        raise LoadError(
            f"{named}: --{what}-start and --{what}-end are both {start:g}",
            "it goes from one to the other",
        )
    if not step:
        raise LoadError(f"{named} has no --{what}-step", "it may be negative, but not 0")
    if abs(step) < _SMALLEST_STEP:
        raise LoadError(
            f"{named}: --{what}-step is {step:g}", f"steps are {_SMALLEST_STEP:g} or more"
        )
    if shape is Schedule.STEP and not step_duration:
        raise LoadError(f"{named} has no --{what}-step-duration", "such as 5s")
    if end and (end > start) is not (step > 0):
        raise LoadError(
            f"{named}: --{what}-step {step:g} leads away from --{what}-end {end:g}",
            f"it starts from {start:g}",
        )


def _files(options: LoadOptions) -> None:
    read: dict[str, Path | None] = {
        "--proto": options.proto,
        "--protoset": options.protoset,
        "--cacert": options.cacert,
        "--cert": options.cert,
        "--key": options.key,
        "--data-file": options.data_file,
        "--binary-file": options.binary_file,
        "--metadata-file": options.metadata_file,
        "--baseline": options.baseline,
    }
    for name, path in read.items():
        if path is not None and not (name == "--proto" and _imported(path, options)):
            check_readable(name, path)
    written = {"--output": options.output, "--hgrm": options.hgrm, "--debug": options.debug}
    seen: dict[str, str] = {}
    for name, path in written.items():
        if path is None:
            continue
        check_writable(name, path)
        same = seen.setdefault(os.path.abspath(path), name)
        if same != name and not path.is_char_device():
            raise LoadError(f"{same} and {name} are both {path}", "each needs a file of its own")


def _imported(proto: Path, options: LoadOptions) -> bool:
    return any((folder / proto).is_file() for folder in options.import_paths)


# Of smaller ones there would be so many before the first call that none would ever be due.
_SMALLEST_STEP = 0.001
# The order in which a user would find out.
_CHECKS: tuple[Callable[[LoadOptions], None], ...] = (
    _target,
    _method,
    _tls,
    _data,
    _numbers,
    _schedules,
    _files,
)
