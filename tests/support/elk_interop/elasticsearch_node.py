"""A node of Elasticsearch, of the jars that Elastic publishes at Maven Central."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
INTEROP = ROOT / "compose" / "elk" / "interop"
HOME = ROOT / ".build" / "elasticsearch"
MODULE = "transport-netty4"
START_TIMEOUT_S = 120.0
_MAVEN_TIMEOUT_S = 400


class CannotRun(Exception):
    """Elasticsearch cannot be had on this machine; the message says what is missing."""


def fetch_jars() -> Path:
    """Returns the folder with the jars of the server, fetched where they are not there yet.

    Raises:
        CannotRun: there is no Java or no Maven, or the jars cannot be fetched.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise CannotRun(f"there is no {tool} on PATH; Java 17 and Maven are needed")
    version = _version()
    jars = HOME / version / "lib"
    if jars.is_dir():
        return jars
    part = HOME / f"{version}.part"
    shutil.rmtree(part, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(INTEROP / "pom.xml"), "dependency:copy-dependencies"]
    try:
        subprocess.run(
            [*command, f"-DoutputDirectory={part / 'lib'}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_MAVEN_TIMEOUT_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = str(error.stdout or "").strip().splitlines()
        raise CannotRun(f"Maven cannot fetch the jars: {said[0] if said else error}") from error
    module = part / "modules" / MODULE
    module.mkdir(parents=True)
    for jar in (part / "lib").iterdir():
        if jar.name.startswith(("netty-", MODULE)):
            jar.rename(module / jar.name)
    # A module of the distribution is a folder with jars and this.
    descriptor = {
        "name": MODULE,
        "description": "HTTP",
        "version": version,
        "elasticsearch.version": version,
        "java.version": "17",
        "classname": "org.elasticsearch.transport.netty4.Netty4Plugin",
    }
    text = "".join(f"{key}={value}\n" for key, value in descriptor.items())
    (module / "plugin-descriptor.properties").write_text(text)
    part.rename(HOME / version)
    return jars


@contextmanager
def running_node(jars: Path, folder: Path) -> Iterator[Elasticsearch]:
    """Runs a node with an empty folder of its own.

    Raises:
        CannotRun: it ends, or is not there in time.
    """
    (folder / "config").mkdir(parents=True)
    shutil.copytree(jars.parent / "modules", folder / "modules")
    command = ["java", "-Xms512m", "-Xmx512m", "-cp", f"{jars}/*"]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, str(INTEROP / "ElasticsearchNode.java"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Elasticsearch(f"http://{_address(process, folder)}")
    finally:
        # The node ends when its input does.
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Elasticsearch:
    """The HTTP interface of a node."""

    def __init__(self, url: str) -> None:
        """Keeps where it is."""
        self.url = url

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Returns the answer. Raises AssertionError with what Elasticsearch says of an error."""
        data = None if body is None else json.dumps(body).encode()
        return self._send(method, path, data, "application/json")

    def bulk(self, operations: Sequence[tuple[str, str]]) -> list[Any]:
        """Creates documents, and returns what became of each.

        Args:
            operations: data stream and line of each.
        """
        text = "".join(
            f'{{"create":{{"_index":"{stream}"}}}}\n{line}\n' for stream, line in operations
        )
        answer = self._send("POST", "/_bulk?refresh=true", text.encode(), "application/x-ndjson")
        return [each["create"] for each in answer["items"]]

    def search(self, streams: str, body: object) -> Any:
        """Returns the answer to a search."""
        return self.ask("POST", f"/{streams}/_search", body)

    def _send(self, method: str, path: str, data: bytes | None, kind: str) -> Any:
        request = urllib.request.Request(
            self.url + path, data, {"content-type": kind}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from error


def _address(process: subprocess.Popen[bytes], folder: Path) -> str:
    until_s = time.monotonic() + START_TIMEOUT_S
    address = folder / "address"
    while time.monotonic() < until_s:
        if address.is_file():
            return address.read_text()
        try:
            status = process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        said = (folder / "output").read_text(errors="replace")[-2_000:]
        raise CannotRun(f"Elasticsearch has ended with status {status}:\n{said}")
    raise CannotRun(f"Elasticsearch is not there after {START_TIMEOUT_S:.0f} s")


def _version() -> str:
    text = (INTEROP / "pom.xml").read_text()
    match = re.search(r"<elasticsearch.version>(.+?)<", text)
    assert match is not None
    return match.group(1)
