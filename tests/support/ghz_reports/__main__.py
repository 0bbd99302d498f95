"""Compares reports of ghz and of `tailrace load`, both live: part of `make interop-ghz`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.ghz_reports.comparison import differences
from tests.support.ghz_reports.recorded import RECORDED
from tests.support.ghz_reports.runs import FORMATS, LIVE_FORMATS, RUNS
from tests.support.load_servers import LoadServer

_ROOT = Path(__file__).resolve().parents[3]
_RUN_S = 60.0
_OURS = (sys.executable, "-m", "tailrace.loadtest", "--progress", "off")
_CI_SCRIPT = Path(__file__).parent / "ci_script.py"


def main() -> int:
    """Returns 0 if all reports have the shape of ghz's, 1 if some differ; each is named."""
    options = _options()
    server = LoadServer()
    try:
        if options.record:
            for run, form in ((run, form) for run in RUNS for form in FORMATS):
                report = _report((str(options.ghz),), RUNS[run], form, server.target)
                (RECORDED / f"{run}.{form}").write_text(report, encoding="utf-8")
            return 0
        found = []
        for run, form in _each():
            genuine = _report((str(options.ghz),), RUNS[run], form, server.target)
            ours = _report(_OURS, RUNS[run], form, server.target)
            found += [f"{run}, {form}: {line}" for line in differences(form, genuine, ours)]
            if form == "json":
                found += [f"{run}: {line}" for line in _scripted(genuine, ours)]
    finally:
        server.stop()
    for line in found:
        print(line, file=sys.stderr)
    count = len(list(_each()))
    print(f"{count} reports compared with ghz's: {len(found) or 'no'} differences")
    return 1 if found else 0


def _each() -> list[tuple[str, str]]:
    return [(run, form) for run in RUNS for form in LIVE_FORMATS.get(run, FORMATS)]


def _report(tool: Sequence[str], flags: Sequence[str], form: str, target: str) -> str:
    command = [*tool, *flags, "--format", form, target]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=_RUN_S)
    # Ours ends with 1 where no call was answered, which one of the runs is about.
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"{tool[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _scripted(genuine: str, ours: str) -> list[str]:
    """Returns what differs for a script that was written for ghz's JSON."""
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for name, report in (("ghz", genuine), ("tailrace", ours)):
            path = Path(folder) / f"{name}.json"
            path.write_text(report, encoding="utf-8")
            done = subprocess.run(
                [sys.executable, _CI_SCRIPT, path], capture_output=True, text=True, timeout=_RUN_S
            )
            if done.stderr:
                return [f"the script for ghz's JSON fails on {name}'s: {done.stderr.strip()}"]
            told.append((done.returncode, [line.split(":")[0] for line in done.stdout.split("\n")]))
    return [] if told[0] == told[1] else [f"the script tells {told[0]} of ghz, {told[1]} of ours"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.ghz_reports")
    parser.add_argument("--ghz", type=Path, default=Path("ghz"), help="ghz 0.121")
    parser.add_argument("--record", action="store_true", help="record ghz's reports anew")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
