"""Checks dashboard files against the types that Grafana publishes (`make check-grafana`).

Grafana has no other schema for its dashboards: `@grafana/schema` is generated from the same source
as its own code. Every file becomes a TypeScript constant of the type `Dashboard`, and the options
and fields of every panel constants of the types of their visualisation, so that the compiler
refuses unknown names, values and types, as well as names that are missing. What is typed nowhere
stays unchecked: queries, overrides and the options of transformations.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_TYPES = "@grafana/schema/dist/types"
_PANELS: Mapping[str, str] = {
    "bargauge": "BarGauge",
    "gauge": "Gauge",
    "heatmap": "Heatmap",
    "stat": "Stat",
    "table": "Table",
    "text": "Text",
    "timeseries": "TimeSeries",
    "trend": "Trend",
    "xychart": "XYChart",
}
_WITHOUT_FIELDS = ("stat", "gauge", "bargauge", "text")

# JSON has the values of enumerations where TypeScript wants their names.
_PLAIN = """
type Plain<T> = 0 extends 1 & T ? T
  : T extends string ? `${T}`
  : T extends readonly (infer U)[] ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;
"""


def typescript(files: Sequence[Path], modules: str) -> str:
    """Returns a program that compiles if the dashboards of all files have Grafana's types.

    Args:
        files: dashboards, as JSON.
        modules: path of `node_modules` from where the program will be.

    Raises:
        KeyError: a panel's kind has no known type.
    """
    model = f"{modules}/{_TYPES}/raw/dashboard/x/dashboard_types.gen"
    lines = [f"import type {{ Dashboard }} from '{model}';"]
    for kind, name in _PANELS.items():
        path = f"{modules}/{_TYPES}/raw/composable/{kind}/panelcfg/x/{name}PanelCfg_types.gen"
        lines.append(f"import type * as {kind} from '{path}';")
    lines.append(_PLAIN)
    for number, file in enumerate(files):
        dashboard = json.loads(file.read_text(encoding="utf-8"))
        lines.append(f"// {file.name}")
        lines.append(f"export const d{number}: Plain<Dashboard> = {json.dumps(dashboard)};")
        for panel in _panels(dashboard["panels"]):
            lines += _panel(f"d{number}p{panel['id']}", panel)
    return "\n".join(lines) + "\n"


def main() -> int:
    """Compiles; the arguments are the folder of node_modules and files of dashboards."""
    modules, *names = sys.argv[1:]
    files = [Path(name) for name in names]
    program = Path(".build/grafana/dashboards.ts")
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(typescript(files, f"../../{modules}"), encoding="utf-8")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"]
    options += ["--module", "nodenext", "--moduleResolution", "nodenext"]
    compiler = Path(modules) / ".bin" / "tsc"
    done = subprocess.run([compiler, *options, program], check=False)
    if done.returncode == 0:
        print(f"{len(files)} dashboards have the types of @grafana/schema")
    return done.returncode


def _panel(name: str, panel: Mapping[str, Any]) -> Iterator[str]:
    kind = panel["type"]
    if kind not in _PANELS:
        raise KeyError(f"{kind}, of the panel {panel['title']!r}, is not in schema_check._PANELS")
    yield f"// {panel['title']}"
    options = json.dumps(panel["options"])
    yield f"export const {name}o: Plain<{kind}.Options> = {options};"
    if kind not in _WITHOUT_FIELDS:
        custom = json.dumps(panel["fieldConfig"]["defaults"].get("custom", {}))
        yield f"export const {name}f: Plain<{kind}.FieldConfig> = {custom};"


def _panels(panels: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for panel in panels:
        if panel["type"] == "row":
            yield from _panels(panel["panels"])
        else:
            yield panel


if __name__ == "__main__":
    sys.exit(main())
