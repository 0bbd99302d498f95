"""Sends the same templates with genuine ghz and with `tailrace load`, and compares what arrives.

By hand: `python -m tests.support.ghz_templates GHZ`, where GHZ is the binary of ghz 0.121.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from tests.support.load_messages import ECHO_PROTO, SERVICE, message_class

_CALLS = 20
_CALLERS = 4
_CONNECTIONS = 2
_FIXED = ["FullyQualifiedName", "MethodName", "ServiceName", "InputName", "OutputName"]
_FIXED += ["IsClientStreaming", "IsServerStreaming"]
_COUNTED = ["RequestNumber", "WorkerID"]
_OF_THE_MOMENT = ["Timestamp", "TimestampUnix", "TimestampUnixMilli", "TimestampUnixNano", "UUID"]
_FUNCTIONS = {
    "randomString": "{{randomString 8}}",
    "randomString0": "{{randomString 0}}",
    "randomInt": "{{randomInt 5 7}}",
    "newUUID": "{{newUUID}}",
    "piped": "{{.RequestNumber | add 5 | printf `%04d`}}",
    "sprig": "{{trunc 3 .MethodName | upper}}",
    "condition": "{{if gt .RequestNumber 9}}late{{else}}early{{end}}",
}


def _entries() -> dict[str, str]:
    variables = {name: f"{{{{.{name}}}}}" for name in (*_FIXED, *_COUNTED, *_OF_THE_MOMENT)}
    return variables | _FUNCTIONS


class _Recorder(grpc.GenericRpcHandler):
    """Keeps every message of every method, and some of its metadata."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Any], dict[str, Any]]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        metadata = {name: value for name, value in details.invocation_metadata}

        def keep(requests: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append((list(requests), metadata))
            yield message_class("EchoResponse")()

        return grpc.stream_stream_rpc_method_handler(
            keep,
            request_deserializer=message_class("EchoRequest").FromString,
            response_serializer=message_class("EchoResponse").SerializeToString,
        )


def _sent(command: list[str], method: str, data: str, metadata: str) -> list[Any]:
    recorder = _Recorder()
    server = grpc.server(ThreadPoolExecutor(_CALLERS), handlers=[recorder])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    flags = ["--insecure", "--proto", ECHO_PROTO.name, "-i", str(ECHO_PROTO.parent)]
    flags += ["--call", f"{SERVICE}/{method}", "-d", data, "-m", metadata, "--name", "run"]
    flags += ["-n", str(_CALLS), "-c", str(_CALLERS), "--connections", str(_CONNECTIONS)]
    flags += ["-O", "json", f"127.0.0.1:{port}"]
    done = subprocess.run(
        [*command, *flags], capture_output=True, text=True, timeout=60, check=False
    )
    server.stop(None).wait()
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr or done.stdout}")
    return recorder.calls


def _form(text: str) -> str:
    """Returns a text's form: digits as 9, hexadecimal groups of a UUID as x."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "uuid", text)
    return re.sub(r"[0-9]", "9", text)


def _summary(calls: list[Any]) -> dict[str, Any]:
    """Returns what can be compared of what arrived."""
    told: dict[str, Any] = {"calls": len(calls)}
    by_name: dict[str, list[str]] = {name: [] for name in _entries()}
    lengths = set()
    for requests, metadata in calls:
        told.setdefault("messages", set()).add(len(requests))
        for request in requests:
            lengths.add(len(request.trailers["randomString0"]))
            for name in by_name:
                by_name[name].append(request.trailers[name])
        told.setdefault("number in metadata", set()).add(metadata["number"])
        told.setdefault("binary in metadata", set()).add(metadata["raw-bin"])
    for name, values in by_name.items():
        if name in ("randomString", "randomString0"):
            told[name] = all(value.isascii() and value.isalnum() for value in values)
        elif name in _OF_THE_MOMENT or name == "newUUID":
            told[name] = {_form(value) for value in values}
        else:
            told[name] = sorted(values) if name != "WorkerID" else set(values)
    told["randomInt"] = set(told["randomInt"])
    told["lengths within 2 and 16"] = min(lengths) >= 2 and max(lengths) <= 16
    return told


def main(ghz: str) -> int:
    """Compares, prints what differs, and returns 1 if anything does."""
    metadata = json.dumps({"number": "{{.RequestNumber}}", "raw-bin": "aGk="})
    one = json.dumps({"trailers": _entries()})
    several = json.dumps([{"trailers": _entries(), "code": place} for place in range(3)])
    differ = 0
    for method, data in [("Echo", one), ("Echo", several), ("Collect", several), ("Repeat", one)]:
        theirs = _summary(_sent([ghz], method, data, metadata))
        ours = _summary(_sent([sys.executable, "-m", "tailrace.loadtest"], method, data, metadata))
        for name, value in theirs.items():
            same = ours[name] == value
            differ += not same
            if not same:
                print(f"{method}: {name}\n  ghz   {value}\n  ours  {ours[name]}")
        print(f"{method}: {len(theirs)} compared")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
