"""Options of `tailrace up` that do not fit together."""

from __future__ import annotations

from typer.testing import CliRunner

from tailrace.cli.main import app


def test_queue_that_is_left_out_cannot_be_kept() -> None:
    ended = CliRunner(env={"COLUMNS": "250"}).invoke(
        app, ["up", "examples/flights", "--no-submissions", "--keep-queue"]
    )
    assert ended.exit_code == 2
    assert "--keep-queue needs the queue" in ended.stderr
