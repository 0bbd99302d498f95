"""`tailrace predict` and `tailrace pipelines` against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.state import MeshState, ProcessState, RedisState, read_state, write_state
from tailrace.cli.main import app
from tailrace.v1 import prediction_service_pb2 as messages
from tailrace.v1 import tensor_pb2
from tailrace.v1.pipeline_pb2 import OutputDescription, PipelineDescription, RequestField
from tests.support.small_gateway import SmallGateway, small_gateway

SCHEMA = [
    RequestField(name="when", type="timestamp", required=True),
    RequestField(name="count", type="int64"),
    RequestField(name="ratio", type="double"),
    RequestField(name="reject", type="bool"),
    RequestField(name="grid", type="tensor", dtype=tensor_pb2.DATA_TYPE_INT16, shape=[2]),
]


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[SmallGateway]:
    """A small gateway with the pipeline `echo`; its troublesome ones have the same schema."""
    async with small_gateway() as running:
        for name in ("drains", "echo", "full", "slow"):
            running.descriptions[name] = PipelineDescription(
                name=name,
                version="1-abc",
                description="Says it again.",
                request_fields=SCHEMA,
                outputs=[OutputDescription(name="ratio", unit="km", description="How far.")],
                default_deadline_ms=100,
                maximum_deadline_ms=1000,
            )
        yield running


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
def run(gateway: SmallGateway) -> Run:
    """Runs `tailrace` beside the gateway's event loop, and against the gateway."""

    def invoke(arguments: list[str]) -> Ended:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
        if isinstance(result.exception, LaunchError):
            return Ended(1, result.stdout, str(result.exception))
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Ended(result.exit_code, result.stdout, result.stderr)

    async def run_command(*arguments: str | Path, at_gateway: bool = True) -> Ended:
        where = ["--target", gateway.target] if at_gateway else []
        return await asyncio.to_thread(invoke, [*map(str, arguments), *where])

    return run_command


Process = subprocess.Popen[bytes]


class StartCommand(Protocol):
    """Starts `tailrace` in a process of its own."""

    def __call__(self, *arguments: str | Path) -> Process:
        """Returns the process, all of whose streams are pipes without buffers."""


@pytest.fixture
def start() -> Iterator[StartCommand]:
    """Starts commands; what is left of them is killed after the test."""
    with contextlib.ExitStack() as stack:

        def start_command(*arguments: str | Path) -> Process:
            command = [sys.executable, "-m", "tailrace.cli", *map(str, arguments)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start_command


def lines_of(result: Ended) -> list[dict[str, Any]]:
    """The JSON lines that a command has printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]


# --- one prediction ------------------------------------------------------------------------


async def test_prediction_is_printed_for_people(run: Run, gateway: SmallGateway) -> None:
    request = '{"when": "2013-09-01T05:15:00-04:00", "ratio": 1.5}'

    result = await run("predict", "echo", "--json", request)

    assert (result.returncode, result.stderr) == (0, "")
    assert "echo 1-abc, model echo version 1, request " in result.stdout
    assert "ratio    1.5 km  How far." in result.stdout
    assert 'when     "2013-09-01T09:15:00Z"' in result.stdout
    assert "quality  LIVE" in result.stdout
    assert "ingest" in result.stdout and "of 500 allowed" in result.stdout


async def test_a_trace_that_was_asked_for_is_made_and_named(
    run: Run, gateway: SmallGateway, tmp_path: Path
) -> None:
    request = '{"when": "2013-09-01T05:15:00-04:00"}'
    rows = tmp_path / "rows.ndjson"
    rows.write_text(request)

    table = await run("predict", "echo", "--json", request, "--trace")
    document = await run("predict", "echo", "--json", request, "--trace", "--output", "json")
    failed = await run("predict", "full", "--json", request, "--trace")
    many = await run("predict", "echo", "--file", rows, "--trace")

    calls = [call for call in gateway.seen if "Get" not in type(call.request).__name__]
    traces = []
    for call in calls:
        version, trace_id, _, flags = str(call.metadata["traceparent"]).split("-")
        assert (version, flags) == ("00", "01")
        traces.append(trace_id)
    assert len(set(traces)) == 4
    assert table.stdout.endswith(f"\n\ntrace {traces[0]}\n")
    assert json.loads(document.stdout)["trace_id"] == traces[1]
    assert f"trace {traces[2]}]" in failed.stderr
    assert many.stderr.rstrip().endswith(f", trace {traces[3]}")


async def test_values_are_sent_as_the_schema_says(run: Run, gateway: SmallGateway) -> None:
    request = """{"when": "2013-09-01T05:15:00.000001-04:00", "count": 9007199254740993,
                  "ratio": 2, "grid": [1, 2]}"""

    result = await run("predict", "echo", "--json", request, "--output", "json")

    sent = gateway.seen[-1].request.fields
    assert sent["when"].timestamp_value.ToJsonString() == "2013-09-01T09:15:00.000001Z"
    assert sent["count"].int64_value == 2**53 + 1
    assert sent["ratio"].WhichOneof("kind") == "double_value"
    assert sent["grid"].tensor_value.dtype == tensor_pb2.DATA_TYPE_INT16
    document = json.loads(result.stdout)
    assert document["values"]["count"] == 2**53 + 1
    assert document["values"]["grid"] == [1, 2]
    assert document["ledger"]["total_ms"] == 1.5
    assert document["quality"] == "LIVE"


async def test_timeout_is_the_deadline_of_the_call(run: Run, gateway: SmallGateway) -> None:
    await run("predict", "echo", "--json", "{}", "--timeout", "30s")

    assert 20 < gateway.seen[-1].time_remaining_s <= 30.3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["echo", "--json", '{"when": "soon"}'], "at fields.when: found 'soon', expected an RFC"),
        (["echo", "--json", "{"], "not JSON: Expecting property name"),
        (["echo", "--json", '{"ratio": NaN}'], "NaN is no number in JSON"),
        (["echo", "--json", '{"ratio": 1, "ratio": 2}'], "the name 'ratio' occurs twice"),
        (["echo", "--json", "[1]"], "expected a JSON object"),
        (["full", "--json", "{}"], "RESOURCE_EXHAUSTED (MODEL_QUEUE_FULL): full"),
        (["ecko", "--json", "{}"], "NOT_FOUND (PIPELINE_NOT_FOUND) at pipeline"),
        (["slow", "--json", "{}", "--timeout", "300ms"], "DEADLINE_EXCEEDED"),
    ],
)
async def test_failure_is_a_line_and_an_exit_status(
    run: Run, arguments: list[str], said: str
) -> None:
    result = await run("predict", *arguments)

    assert result.returncode == 1
    assert result.stdout == ""
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


async def test_failure_can_be_json(run: Run) -> None:
    result = await run("predict", "full", "--json", "{}", "--output", "json")

    assert result.returncode == 1
    error = json.loads(result.stdout)["error"]
    assert (error["code"], error["retry_after_s"]) == ("RESOURCE_EXHAUSTED", 0.25)


@pytest.mark.parametrize(
    "arguments",
    [
        ["echo"],
        ["echo", "--json", "{}", "--file", "rows.ndjson"],
        ["echo", "--file", "rows.ndjson", "--output", "table"],
        ["echo", "--file", "nowhere.ndjson"],
        ["echo", "--json", "{}", "--timeout", "2"],
        ["echo", "--json", "{}", "--timeout", "0s"],
        ["echo", "--json", "{}", "--name", "mesh"],
        ["echo", "--json", "{}", "--tls-key", "nowhere.pem"],
    ],
)
async def test_options_that_make_no_sense_are_refused(run: Run, arguments: list[str]) -> None:
    result = await run("predict", *arguments)

    assert result.returncode == 2


async def test_nobody_there_is_a_line_and_an_exit_status(run: Run) -> None:
    # Port 1 is nobody's.
    result = await run(
        "predict", "echo", "--json", "{}", "--target", "127.0.0.1:1", at_gateway=False
    )

    assert result.returncode == 1
    assert "UNAVAILABLE" in result.stderr


# --- files ---------------------------------------------------------------------------------


def write_rows(path: Path, count: int) -> Path:
    """A file of good rows, numbered from 1."""
    rows = ({"when": "2013-09-01T05:15:00Z", "count": number + 1} for number in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def test_file_gives_one_line_per_line_in_order(
    run: Run, gateway: SmallGateway, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "rows.ndjson", 1_000)

    result = await run("predict", "echo", "--file", file, "--batch-rows", "64")

    assert result.returncode == 0
    documents = lines_of(result)
    assert [document["line"] for document in documents] == list(range(1, 1_001))
    assert [document["values"]["count"] for document in documents] == list(range(1, 1_001))
    calls = [
        call for call in gateway.seen if isinstance(call.request, messages.PredictStreamRequest)
    ]
    assert sum(len(call.request.requests) for call in calls) == 1_000
    assert max(len(call.request.requests) for call in calls) == 64
    assert len({call.peer for call in calls}) == 4
    assert "1000 predictions, 0 failures" in result.stderr


async def test_bad_lines_fail_with_their_number_and_the_others_do_not(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_bytes(
        b'{"when": "2013-09-01T05:15:00Z", "count": 1}\n'
        b"\n"
        b"{not json\n"
        b'{"when": "soon"}\r\n'
        b'{"when": "2013-09-01T05:15:00Z", "reject": true}\n'
        b"\xff\n"
        b'{"when": "2013-09-01T05:15:00Z", "count": 7}'
    )

    result = await run("predict", "echo", "--file", file)

    assert result.returncode == 1
    documents = {document["line"]: document for document in lines_of(result)}
    assert list(documents) == [1, 3, 4, 5, 6, 7]
    assert documents[1]["values"]["count"] == 1
    assert documents[7]["values"]["count"] == 7
    assert documents[3]["error"]["message"].startswith("not JSON")
    assert documents[4]["error"]["field"] == "fields.when"
    assert documents[5]["error"]["field"] == "fields.reject"
    assert documents[6]["error"]["message"] == "not JSON: not UTF-8 at byte 0"
    assert "2 predictions, 4 failures" in result.stderr


async def test_stream_that_breaks_fails_what_was_under_way_and_the_rest_goes_on(
    run: Run, gateway: SmallGateway, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "rows.ndjson", 1_000)

    # Answers one row of each stream, and breaks it.
    result = await run("predict", "drains", "--file", file, "--batch-rows", "8")

    assert result.returncode == 1
    documents = lines_of(result)
    assert [document["line"] for document in documents] == list(range(1, 1_001))
    errors = [document["error"] for document in documents if "error" in document]
    assert {(error["code"], error["reason"]) for error in errors} == {("UNAVAILABLE", "DRAINING")}
    assert {error["message"] for error in errors} == {"draining"}
    assert len({error["request_id"] for error in errors} - {""}) == len(errors)
    answered = 1_000 - len(errors)
    assert answered >= 1_000 // 16
    assert f"{answered} predictions, {len(errors)} failures" in result.stderr


async def test_gateway_that_is_full_fails_each_line(run: Run, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.ndjson", 3)

    result = await run("predict", "full", "--file", file)

    assert result.returncode == 1
    codes = [document["error"]["code"] for document in lines_of(result)]
    assert codes == ["RESOURCE_EXHAUSTED"] * 3


async def test_empty_file_gives_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    file.touch()

    result = await run("predict", "echo", "--file", file)

    assert (result.returncode, result.stdout) == (0, "")


ROW = b'{"when": "2013-09-01T05:15:00Z", "count": 5}\n'


async def test_lines_of_a_pipe_are_answered_as_they_come(
    start: StartCommand, gateway: SmallGateway
) -> None:
    process = start("predict", "echo", "--file", "-", "--target", gateway.target)
    assert process.stdin is not None and process.stdout is not None

    for number in (1, 2):
        process.stdin.write(ROW.replace(b"5}", b"%d}" % number))
        # The pipe stays open: the answer may not wait for more lines.
        answer = json.loads(await asyncio.to_thread(process.stdout.readline))
        assert answer["values"]["count"] == number

    _, errors = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    assert b"2 predictions, 0 failures" in errors


async def test_interrupt_ends_a_command_that_waits_for_input(
    start: StartCommand, gateway: SmallGateway
) -> None:
    process = start("predict", "echo", "--file", "-", "--target", gateway.target)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(ROW)
    await asyncio.to_thread(process.stdout.readline)

    process.send_signal(signal.SIGINT)

    assert await asyncio.to_thread(process.wait, 10) != 0
    _, errors = await asyncio.to_thread(process.communicate)
    assert b"Traceback" not in errors and b"Fatal" not in errors


async def test_reader_that_goes_away_ends_the_command(
    start: StartCommand, gateway: SmallGateway, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "rows.ndjson", 5_000)
    process = start("predict", "echo", "--file", file, "--target", gateway.target)
    assert process.stdout is not None and process.stderr is not None
    await asyncio.to_thread(process.stdout.read, 100)

    process.stdout.close()  # As `head` does.

    assert await asyncio.to_thread(process.stderr.read) == b""
    assert await asyncio.to_thread(process.wait, 10) == 1


async def test_lines_are_read_no_faster_than_calls_are_answered(
    start: StartCommand, gateway: SmallGateway
) -> None:
    command = ["predict", "slow", "--file", "-", "--timeout", "60s", "--target", gateway.target]
    process = start(*command)
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    streams: set[str] = set()
    written = 0
    while len(streams) < 4:
        written += write_what_fits(process.stdin.fileno())
        with contextlib.suppress(TimeoutError):
            call = await asyncio.wait_for(gateway.arrivals.get(), 0.1)
            if isinstance(call.request, messages.PredictStreamRequest):
                streams.add(call.peer)

    # Whatever is on its way comes to rest.
    for _ in range(10):
        written += write_what_fits(process.stdin.fileno())
        await asyncio.sleep(0.1)

    assert write_what_fits(process.stdin.fileno()) == 0
    assert written < 2_000_000
    assert gateway.arrivals.empty()


def write_what_fits(descriptor: int) -> int:
    """Writes rows until the pipe is full; returns how many bytes it took."""
    written = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            written += os.write(descriptor, ROW * 100)
    return written


# --- meshes and pipelines ------------------------------------------------------------------


def write_mesh(state_dir: Path, name: str, target: str) -> None:
    """The state file of a mesh whose gateway is the small one; this process keeps it."""
    port = int(target.rpartition(":")[2])
    log = state_dir / "log"
    keeper = ProcessState.of_running("launcher", os.getpid(), log_path=log)
    gateway = ProcessState.of_running("gateway", os.getpid(), log_path=log, grpc_port=port)
    state = MeshState(
        mesh=name,
        started_at=datetime.now(UTC),
        launcher=keeper,
        processes=(gateway,),
        redis=RedisState(url="unix:///nowhere", version="6.2"),
    )
    write_state(state_dir / "meshes" / name / "state.json", state)


async def test_mesh_on_this_machine_is_found_by_its_name(
    run: Run, gateway: SmallGateway, tmp_path: Path
) -> None:
    write_mesh(tmp_path, "one", gateway.target)
    write_mesh(tmp_path, "two", "127.0.0.1:1")
    request = ["predict", "echo", "--json", '{"count": 1}', "--state-dir", tmp_path]

    named = await run(*request, "--name", "one", at_gateway=False)
    unnamed = await run(*request, at_gateway=False)

    assert named.returncode == 0
    assert unnamed.returncode == 1
    assert "choose one with --name: one, two" in unnamed.stderr


async def test_status_without_a_name_shows_every_mesh(
    run: Run, gateway: SmallGateway, tmp_path: Path
) -> None:
    write_mesh(tmp_path, "one", gateway.target)
    write_mesh(tmp_path, "two", "127.0.0.1:1")

    shown = await run("status", "--state-dir", tmp_path, at_gateway=False)
    as_json = await run("status", "--json", "--state-dir", tmp_path, at_gateway=False)

    assert (shown.returncode, as_json.returncode) == (1, 1)
    assert "mesh one, up since" in shown.stdout
    assert "mesh two, up since" in shown.stdout
    assert [summary["mesh"] for summary in json.loads(as_json.stdout)] == ["one", "two"]


async def test_unknown_mesh_is_told_with_those_that_are_up(
    run: Run, gateway: SmallGateway, tmp_path: Path
) -> None:
    write_mesh(tmp_path, "one", gateway.target)
    place = ["--name", "other", "--state-dir", tmp_path]

    status = await run("status", *place, at_gateway=False)
    predict = await run("predict", "echo", "--json", "{}", *place, at_gateway=False)

    for result in (status, predict):
        assert result.returncode == 1
        assert "no mesh named 'other' is up, up are: one" in result.stderr


async def test_only_mesh_on_this_machine_needs_no_name(
    run: Run, gateway: SmallGateway, tmp_path: Path
) -> None:
    write_mesh(tmp_path, "only", gateway.target)

    result = await run("pipelines", "list", "--state-dir", tmp_path, at_gateway=False)

    assert result.returncode == 0


async def test_mesh_that_is_gone_is_a_line_and_an_exit_status(run: Run, tmp_path: Path) -> None:
    write_mesh(tmp_path, "gone", "127.0.0.1:1")
    state_file = tmp_path / "meshes" / "gone" / "state.json"
    state = read_state(state_file)
    # A launcher that started before this process did, under the same process id.
    launcher = state.launcher.model_copy(update={"started_at": 0.0})
    write_state(state_file, state.model_copy(update={"launcher": launcher}))

    result = await run("pipelines", "list", "--state-dir", tmp_path, at_gateway=False)

    assert result.returncode == 1
    assert "the mesh 'gone' is gone" in result.stderr


async def test_no_mesh_is_a_line_and_an_exit_status(start: StartCommand, tmp_path: Path) -> None:
    process = start("pipelines", "list", "--state-dir", tmp_path)

    output, errors = await asyncio.to_thread(process.communicate)

    assert (process.returncode, output) == (1, b"")
    assert b"tailrace: error: no mesh is up" in errors
    assert b"--target HOST:PORT" in errors
    assert len(errors.splitlines()) == 1


async def test_pipelines_are_listed(run: Run, gateway: SmallGateway) -> None:
    sound = await run("pipelines", "list")
    gateway.descriptions["broken"] = PipelineDescription(name="broken")
    refused = await run("pipelines", "list")
    as_json = await run("pipelines", "list", "--json")

    assert sound.returncode == 0
    assert "echo      1-abc    Says it again." in sound.stdout
    assert refused.returncode == 1
    assert "broken: its file is refused" in refused.stdout
    assert [summary["name"] for summary in json.loads(as_json.stdout)] == [
        "broken",
        "drains",
        "echo",
        "full",
        "slow",
    ]


async def test_pipeline_is_shown(run: Run) -> None:
    shown = await run("pipelines", "show", "echo")
    unknown = await run("pipelines", "show", "ecko")

    assert shown.returncode == 0
    assert "when timestamp, required" in shown.stdout
    assert unknown.returncode == 1
    assert "PIPELINE_NOT_FOUND" in unknown.stderr
