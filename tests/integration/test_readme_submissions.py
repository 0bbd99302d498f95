"""What the README shows of submissions, and scripts for ghz, run as they are against a mesh."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tailrace.cli.local.lifeline import tied
from tailrace.client import Client, InputValue
from tests.integration.test_tailrace_up import ROOT, Launcher
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

FLIGHT: dict[str, InputValue] = {
    "carrier": "UA",
    "tailnum": "N14228",
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400.0,
    "scheduled_departure": datetime(2013, 11, 1, 13, 15, tzinfo=UTC),
    "scheduled_arrival": datetime(2013, 11, 1, 16, 29, tzinfo=UTC),
}
MOST_LINES = 15
# Each makes four calls in place of many.
SCRIPTS = {
    "health.sh": ("-r0", "-z0"),
    "list_pipelines.sh": (),
    "predict.sh": (),
    "predict_open_loop.sh": ("-z0",),
    "predict_steps.sh": ("-z0",),
    "predict_batch.sh": (),
    "predict_stream.sh": (),
    "submit.sh": (),
}


def snippets() -> list[str]:
    """Returns the programs of the section, in order."""
    text = (ROOT / "README.md").read_text()
    section = text.partition("## Submit and be called back\n")[2].partition("\n## ")[0]
    return [textwrap.dedent(code) for code in re.findall(r"```python\n(.*?)```", section, re.S)]


SUBMIT, REGISTER, WEBHOOK, GRPC = snippets()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway of a mesh that was started by `tailrace up`."""
    options = ("--port", "0", "--predictions", "20", "--inference-backend", "onnxruntime")
    launcher = Launcher("readme", tmp_path_factory.mktemp("readme"), *options)
    try:
        launcher.wait_up()
        yield f"127.0.0.1:{launcher.state().process('gateway').grpc_port}"
    finally:
        launcher.process.terminate()
        launcher.wait_end()


def run(code: str, target: str) -> str:
    """Runs a program against the mesh; what it printed."""
    assert "127.0.0.1:50050" in code
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(code.replace("127.0.0.1:50050", target), {"flight": FLIGHT})
    return printed.getvalue()


@contextmanager
def receiving(code: str, secret: str, output: Path) -> Iterator[str]:
    """Runs a receiver as a program of its own inside the block, which is given its address."""
    assert "8443" in code or "9443" in code
    # Its own ports may be taken.
    code = code.replace("8443", "0").replace("9443", "0")
    with output.open("wb") as file:
        process = subprocess.Popen(
            tied([sys.executable, "-u", "-c", code]),
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "CALLBACK_SECRET": secret},
        )
    try:
        wait_for(lambda: "receiving at" in output.read_text(), 30)
        yield output.read_text().partition("receiving at ")[2].split()[0]
    finally:
        process.terminate()
        assert process.wait(30) == 0, output.read_text()


def test_submitting_fetching_and_watching(target: str) -> None:
    fetched, watched = run(SUBMIT, target).splitlines()
    assert fetched.startswith("SUCCEEDED {")
    assert watched.split()[1] == "SUCCEEDED"


@pytest.mark.parametrize("code", [WEBHOOK, GRPC], ids=["webhook", "grpc"])
def test_registering_a_callback_and_receiving(target: str, code: str, tmp_path: Path) -> None:
    assert len([line for line in code.splitlines() if line.strip()]) < MOST_LINES
    with Client(target) as client:
        secret = run(REGISTER, target).strip()
        assert secret.startswith("whsec_")
        output = tmp_path / "receiver.txt"
        with receiving(code, secret, output) as place:
            (callback,) = client.callbacks.list_all()
            client.callbacks.update("alerts", replace(callback.spec, target=place))
            ids = [client.submit("flight-delay", FLIGHT, callback="alerts").id for _ in range(2)]

            def has_all() -> bool:
                text = output.read_text()
                return all(f"{each} SUCCEEDED Prediction(" in text for each in ids)

            wait_for(has_all, 30)
        client.callbacks.delete("alerts")


def test_all_scripts_for_ghz_are_run_before_a_release() -> None:
    text = (ROOT / "loadtest" / "ghz" / "all.sh").read_text()
    listed = re.search(r"for name in (.*?);", text, re.S)
    assert listed is not None
    assert {f"{name}.sh" for name in listed[1].replace("\\", " ").split()} == set(SCRIPTS)
    assert {path.name for path in (ROOT / "loadtest" / "ghz").glob("*.sh")} == {*SCRIPTS, "all.sh"}


def test_scripts_for_ghz_run_with_the_load_tool(target: str, tmp_path: Path) -> None:
    running = [
        subprocess.Popen(
            ["sh", f"loadtest/ghz/{name}", target, "-n4", "-c4", *flags]
            + ["-Ojson", f"-o{tmp_path / name}", "--progress=off"],
            cwd=ROOT,
            env=os.environ | {"GHZ": f"{sys.executable} -m tailrace.loadtest"},
        )
        for name, flags in SCRIPTS.items()
    ]
    assert [process.wait(timeout=60) for process in running] == [0] * len(SCRIPTS)
    for name in SCRIPTS:
        report = json.loads((tmp_path / name).read_text())
        assert report["statusCodeDistribution"] == {"OK": 4}, name
