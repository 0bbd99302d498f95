"""The mesh's lines by way of a real Filebeat, where there is one: `compose/elk/filebeat`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.support.elk_interop.elasticsearch_node import ROOT

CONFIGURATION = ROOT / "compose" / "elk" / "filebeat" / "filebeat.yml"
BUILT = ROOT / ".build" / "filebeat" / "filebeat"
_TIMEOUT_S = 60.0


def shipped_lines(lines: list[str], folder: Path) -> list[str] | None:
    """Returns the lines as Filebeat hands them on; None where there is no Filebeat.

    Its configuration is the committed one, but for where it reads and writes.
    """
    filebeat = str(BUILT) if BUILT.is_file() else shutil.which("filebeat")
    if filebeat is None:
        print("no Filebeat: `make filebeat` builds one; its part is left out")
        return None
    logs, shipped, data = (folder / name for name in ("logs", "shipped", "filebeat"))
    logs.mkdir()
    (logs / "all.log").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    environment = {
        **os.environ,
        "TAILRACE_CONTAINERS": "false",
        "TAILRACE_FILES": "true",
        "TAILRACE_LOGS": str(logs),
    }
    settings = {
        "output.logstash.enabled": "false",
        "output.file.path": str(shipped),
        "output.file.rotate_every_kb": "1000000",
        "path.data": str(data),
        "path.logs": str(data),
        "path.home": str(folder),
        "http.enabled": "false",
    }
    options = [part for name, value in settings.items() for part in ("-E", f"{name}={value}")]
    configuration = folder / "filebeat.yml"
    configuration.write_text(CONFIGURATION.read_text())
    configuration.chmod(0o600)
    command = [filebeat, "-c", str(configuration), *options]
    subprocess.run([*command, "test", "config"], env=environment, check=True, timeout=_TIMEOUT_S)
    with (folder / "filebeat.output").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            return _read(shipped, len(lines), process)
        finally:
            process.terminate()
            process.wait(30)


def _read(folder: Path, count: int, process: subprocess.Popen[bytes]) -> list[str]:
    until_s = time.monotonic() + _TIMEOUT_S
    found: list[str] = []
    while time.monotonic() < until_s:
        found = []
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                found += file.read_text("utf-8").splitlines()
        if len(found) >= count:
            break
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    assert len(found) == count, f"Filebeat has handed on {len(found)} of {count} lines"
    return [_sent(line) for line in found]


def _sent(line: str) -> str:
    fields = json.loads(line)
    # For Logstash's eyes; Elasticsearch never sees it.
    del fields["@metadata"]
    return json.dumps(fields)
