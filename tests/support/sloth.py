"""Has Sloth itself validate our specs, and compares its indicators with ours.

    python -m tests.support.sloth

Sloth is the one on PATH, or is built with Go into `.build/sloth`. Where neither can be had, this
says so and ends well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".build" / "sloth"
VERSION = "v0.11.0"
EXAMPLE = ROOT / "examples" / "flights"

_BUILD_S = 500
_RUN_S = 100


def main() -> int:
    """Returns 0 if all is well or Sloth cannot be had, and 1 if it differs."""
    sloth = find_sloth()
    if isinstance(sloth, str):
        print(f"skipped: {sloth}")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        render(folder)
        differing = [
            line
            for spec in sorted((folder / "sloth").glob("*.sloth.yml"))
            for line in compared(sloth, spec, folder)
        ]
    for line in differing:
        print(line, file=sys.stderr)
    print("Sloth takes the specs" + ("" if differing else ", and has our indicators"))
    return 1 if differing else 0


def find_sloth() -> Path | str:
    """Returns Sloth, or why there is none."""
    found = shutil.which("sloth", path=BUILT) or shutil.which("sloth")
    if found:
        return Path(found)
    if not shutil.which("go"):
        return "there is neither sloth nor go on PATH"
    BUILT.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        ["go", "install", f"github.com/slok/sloth/cmd/sloth@{VERSION}"],
        env=os.environ | {"GOBIN": str(BUILT)},
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
    )
    if built.returncode:
        return f"go cannot fetch Sloth {VERSION}: {built.stderr.strip()}"
    return BUILT / "sloth"


def render(folder: Path) -> None:
    """Renders specs and rules of the example into folders."""
    command = [sys.executable, "-m", "tailrace.cli", "slo", "render", "--format", "all"]
    command += ["--pipelines", str(EXAMPLE), "--out", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_RUN_S)


def compared(sloth: Path, spec: Path, folder: Path) -> list[str]:
    """Returns a line for each objective whose share of bad events Sloth computes otherwise."""
    out = folder / f"of-sloth-{spec.stem}.yml"
    for command in (
        [str(sloth), "validate", "--input", str(spec)],
        [str(sloth), "generate", "--input", str(spec), "--out", str(out)],
    ):
        subprocess.run(command, check=True, timeout=_RUN_S)
    pipeline = spec.name.removesuffix(".sloth.yml")
    ours = recorded(folder / "prometheus" / f"tailrace-slo-{pipeline}.yml")
    lines = []
    for rule in rules(out):
        if rule.get("record") != "slo:sli_error:ratio_rate5m":
            continue
        name = rule["labels"]["objective"]
        bad = ours["tailrace:slo_errors:rate5m", name]
        every = ours["tailrace:slo_events:rate5m", name]
        if plain(rule["expr"]) != plain(f"({bad}) / ({every})"):
            lines.append(f"{pipeline} {name}: Sloth has {rule['expr']}, not ({bad}) / ({every})")
    return lines


def recorded(file: Path) -> dict[tuple[str, str], str]:
    """Returns what our rules record, by name and objective."""
    return {
        (rule["record"], rule["labels"]["objective"]): rule["expr"]
        for rule in rules(file)
        if "record" in rule
    }


def rules(file: Path) -> list[dict[str, Any]]:
    """Returns the rules of a file."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def plain(expression: str) -> str:
    """Returns an expression without white space."""
    return "".join(expression.split())


if __name__ == "__main__":
    sys.exit(main())
