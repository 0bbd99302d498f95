"""`tailrace submit`, `submissions` and `callbacks` against a real gateway with a real queue."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from typer.testing import CliRunner

from tailrace.cli.main import app
from tailrace.client.receiver import WebhookReceiver
from tailrace.submissions.records import DeadReason
from tests.support.submission_gateway import (
    PIPELINE,
    SubmissionGateway,
    gateway_settings,
    submission_gateway,
)

REQUEST = '{"x": 1.0}'
TARGET = "https://example.com/hook"
SECRET = "whsec_" + "A" * 32


@pytest_asyncio.fixture
async def gateway(queue_redis: Any, tmp_path: Path) -> AsyncIterator[SubmissionGateway]:
    """One with a fresh queue, whose callbacks may be on this machine."""
    settings = gateway_settings(
        queue_redis.url,
        callback_allow_plaintext=True,
        callback_allowed_networks=("127.0.0.0/8",),
    )
    # Its log would go to the standard output that commands here share with it.
    with capture_logs():
        async with submission_gateway(settings, tmp_path) as running:
            yield running


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.stdout)


Run = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
def run(gateway: SubmissionGateway) -> Run:
    """Runs `tailrace` beside the gateway's event loop, and against the gateway."""

    def invoke(arguments: list[str], given: str) -> Ended:
        result = CliRunner(env={"COLUMNS": "250"}).invoke(app, arguments, input=given)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Ended(result.exit_code, result.stdout, result.stderr)

    async def run_command(*arguments: str | Path, given: str = "") -> Ended:
        command = [*map(str, arguments), "--target", gateway.target]
        return await asyncio.to_thread(invoke, command, given)

    return run_command


async def test_submission_is_told_by_its_id_and_fetched_with_its_result(
    run: Run, gateway: SubmissionGateway
) -> None:
    ended = await run("submit", PIPELINE, "--json", REQUEST)
    prediction_id, state = ended.stdout.split()
    assert (ended.status, state) == (0, "QUEUED")
    waiting = await run("submissions", "get", prediction_id)
    assert (waiting.status, waiting.stdout.split()[:2]) == (1, [prediction_id, "QUEUED"])
    await gateway.run_all()
    fetched = await run("submissions", "get", prediction_id, "--json")
    assert fetched.status == 0
    assert fetched.document["state"] == "SUCCEEDED"
    assert fetched.document["outcome"]["prediction"]["request_id"] == "ran"
    assert fetched.document["queue_ms"] >= 0
    assert "SUCCEEDED" in (await run("submissions", "get", prediction_id)).stdout


async def test_submit_waits_for_the_result(run: Run, gateway: SubmissionGateway) -> None:
    waiting = asyncio.create_task(
        run("submit", PIPELINE, "--json", REQUEST, "--wait", "30s", "--output", "json")
    )
    while not await gateway.run_all():
        pass
    ended = await waiting
    assert (ended.status, ended.document["state"]) == (0, "SUCCEEDED")


async def test_id_is_told_where_waiting_ends_in_an_error(
    run: Run, gateway: SubmissionGateway
) -> None:
    # Longer than a gRPC deadline can be, so that only the wait fails.
    ended = await run("submit", PIPELINE, "--json", REQUEST, "--wait", "999999d")
    (claim,) = await gateway.claim()
    assert (ended.status, ended.stdout) == (1, "")
    assert f"it is submitted, as {claim.prediction_id}" in ended.stderr


async def test_same_key_is_one_submission(run: Run) -> None:
    command = ("submit", PIPELINE, "--json", REQUEST, "--output", "json", "--idempotency-key", "k")
    first, again = await run(*command), await run(*command)
    assert first.document["id"] == again.document["id"]
    assert [first.document["already_submitted"], again.document["already_submitted"]] == [
        False,
        True,
    ]
    other = await run("submit", PIPELINE, "--json", '{"x": 2.0}', "--idempotency-key", "k")
    assert other.status == 1
    assert "ALREADY_EXISTS (IDEMPOTENCY_CONFLICT)" in other.stderr


async def test_each_line_of_a_file_is_submitted_once(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_text('{"x": 1.0}\n{"x": "no"}\n\n{"x": 2.0}\n')
    command = ("submit", PIPELINE, "--file", file, "--idempotency-key", "batch")
    first, again = await run(*command), await run(*command)
    lines = [[json.loads(line) for line in each.stdout.splitlines()] for each in (first, again)]
    assert (first.status, [line["line"] for line in lines[0]]) == (1, [1, 2, 4])
    assert lines[0][1]["error"]["reason"] == "INVALID_FIELD"
    for place in (0, 2):
        assert lines[0][place]["id"] == lines[1][place]["id"]
        assert lines[1][place]["already_submitted"]
    assert "2 submitted, 1 failures" in first.stderr


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--json", REQUEST, "--file", "-"],
        ["--file", "-", "--wait", "1s"],
        ["--file", "-", "--output", "table"],
        ["--json", REQUEST, "--wait", "soon"],
        ["--json", REQUEST, "--not-after", "2026-01-01T00:00:00"],
        ["--json", REQUEST, "--not-after", "tomorrow"],
        ["--json", REQUEST, "--not-after", "9999999d"],
        ["--json", REQUEST, "--not-after", "10m", "--idempotency-key", "k"],
    ],
)
async def test_options_that_do_not_fit_are_refused(run: Run, options: list[str]) -> None:
    assert (await run("submit", PIPELINE, *options)).status == 2


async def test_submissions_are_cancelled_and_listed(run: Run) -> None:
    submitted = await run(
        "submit", PIPELINE, "--json", REQUEST, "--tenant", "t", "--not-after", "10m"
    )
    prediction_id = submitted.stdout.split()[0]
    assert prediction_id in (await run("submissions", "list", "queued")).stdout
    assert (await run("submissions", "cancel", prediction_id, "--tenant", "u")).status == 1
    cancelled = await run("submissions", "cancel", prediction_id, "--json")
    assert cancelled.document["state"] == "CANCELLED"
    assert cancelled.document["not_after"]
    found = await run("submissions", "list", "cancelled", "--tenant", "t", "--json")
    assert [each["id"] for each in found.document] == [prediction_id]
    assert (await run("submissions", "list", "failed")).stdout == "none\n"


async def test_watch_tells_changes_and_where_to_resume(
    run: Run, gateway: SubmissionGateway
) -> None:
    ids = [(await run("submit", PIPELINE, "--json", REQUEST)).stdout.split()[0] for _ in range(2)]
    await gateway.run_all()
    watched = await run("submissions", "watch", *ids, "--json")
    told = [json.loads(line)["prediction"] for line in watched.stdout.splitlines()]
    assert (watched.status, {each["id"] for each in told}) == (0, set(ids))
    resumed = await run("submissions", "watch", "--for", "300ms")
    assert (resumed.status, resumed.stdout) == (0, "")
    position = resumed.stderr.split()[-1]
    await run(
        "submissions", "cancel", (await run("submit", PIPELINE, "--json", REQUEST)).stdout[:30]
    )
    refused = await run("submissions", "watch", "--for", "300ms", "--position", "nowhere")
    assert (refused.status, "resume with" in refused.stderr) == (1, False)
    later = await run("submissions", "watch", "--for", "300ms", "--position", position)
    assert "CANCELLED" in later.stdout


async def test_secret_is_shown_when_it_is_made_and_never_again(run: Run) -> None:
    registered = await run("callbacks", "register", "hook", TARGET, "--ordered", "--json")
    secret = registered.document["secret"]
    assert secret.startswith("whsec_")
    listed = await run("callbacks", "list")
    assert "ordered" in listed.stdout
    rotated = await run("callbacks", "rotate", "hook", "--overlap", "1h")
    assert "shown this once: whsec_" in rotated.stdout
    as_json = await run("callbacks", "list", "--json")
    for told in (listed.stdout, as_json.stdout, rotated.stdout):
        assert secret not in told
    given = await run("callbacks", "register", "own", TARGET, "--secret-file", "-", given=SECRET)
    assert (given.status, "whsec_" in given.stdout) == (0, False)
    pair = await run("callbacks", "register", "pair", TARGET, "--signature", "ed25519")
    assert "verifies with whpk_" in pair.stdout and "shown this once" not in pair.stdout


async def test_callbacks_are_changed_disabled_enabled_and_deleted(run: Run) -> None:
    await run("callbacks", "register", "hook", TARGET, "--max-in-flight", "3")
    updated = await run("callbacks", "update", "hook", "--attempt-timeout", "2s", "--json")
    spec = updated.document["spec"]
    assert (spec["target"], spec["max_in_flight"], spec["attempt_timeout_s"]) == (TARGET, 3, 2.0)
    assert (await run("callbacks", "update", "hook")).status == 2
    assert "disabled (ADMINISTRATOR)" in (await run("callbacks", "disable", "hook")).stdout
    assert (await run("callbacks", "enable", "hook", "--json")).document["enabled"]
    assert (await run("callbacks", "delete", "hook")).status == 0
    for command in (
        ["update", "hook", "--ordered"],
        ["disable", "hook"],
        ["test", "hook"],
        ["delete", "hook"],
    ):
        ended = await run("callbacks", *command)
        assert (ended.status, "CALLBACK_NOT_FOUND" in ended.stderr) == (1, True)


async def test_ping_tells_whether_it_was_confirmed(run: Run) -> None:
    async with WebhookReceiver(print, [SECRET]).serving() as target:
        await run("callbacks", "register", "hook", target, "--secret-file", "-", given=SECRET)
        confirmed = await run("callbacks", "test", "hook", "--json")
    assert (confirmed.status, confirmed.document["result"]) == (0, "HTTP 204")
    refused = await run("callbacks", "test", "hook")
    assert refused.status == 1
    assert "CONNECT_ERROR" in refused.stdout


async def test_a_failed_submission_is_told_with_the_key_to_repeat_it(tmp_path: Path) -> None:
    # A port that is bound and not listened to refuses connections.
    with socket.socket() as closed, capture_logs():
        closed.bind(("127.0.0.1", 0))
        settings = gateway_settings(f"redis://127.0.0.1:{closed.getsockname()[1]}")
        async with submission_gateway(settings, tmp_path) as gateway:
            command = ["submit", PIPELINE, "--json", REQUEST, "--target", gateway.target]
            command += ["--timeout", "1s", "--idempotency-key", "mine"]
            result = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert result.exit_code == 1
    assert "UNAVAILABLE" in result.stderr
    assert "may have been accepted; to repeat it, use the idempotency key mine" in result.stderr


async def test_dead_letters_are_listed_and_redriven(run: Run, gateway: SubmissionGateway) -> None:
    await run("callbacks", "register", "hook", TARGET)
    submitted = await run("submit", PIPELINE, "--json", REQUEST, "--callback", "hook")
    prediction_id = submitted.stdout.split()[0]
    await gateway.run_all()
    partition = int(prediction_id.partition("-")[0])
    store, reason = gateway.queue.submissions, DeadReason.CALLBACK_DISABLED
    await store.kill_deliveries(partition, "/hook", reason, 10)
    dead = await run("callbacks", "dead", "--callback", "hook", "--json")
    assert [each["prediction"]["id"] for each in dead.document] == [prediction_id]
    assert "CALLBACK_DISABLED" in (await run("callbacks", "dead")).stdout
    attempts = await run("callbacks", "attempts", prediction_id)
    assert attempts.stdout == "DEAD to hook (CALLBACK_DISABLED)\nnone\n"
    alone = (await run("submit", PIPELINE, "--json", REQUEST)).stdout.split()[0]
    assert (await run("callbacks", "attempts", alone)).stdout == "no callback\n"
    assert (await run("callbacks", "redrive", "--all", "--reason", "POISON")).stdout.startswith("0")
    assert (await run("callbacks", "redrive", prediction_id)).stdout.startswith("1")
    # It is due; another time changes nothing.
    assert (await run("callbacks", "redrive", prediction_id)).stdout.startswith("1")
    assert (await run("callbacks", "redrive", alone)).status == 1
    for wrong in ([], [prediction_id, "--all"], [prediction_id, "--reason", "POISON"]):
        assert (await run("callbacks", "redrive", *wrong)).status == 2
