"""A whole mesh whose telemetry nobody takes, until somebody does."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.client import Client, Prediction, Quality
from tailrace.client.values import Fields
from tailrace.loadtest.bench.piped_stdout import MODULE, VARIABLE
from tailrace.loadtest.bench.unread_pipe import UnreadPipe
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.logs import DROPPED
from tests.support.hanging_logstash import HangingLogstash, hanging_logstash
from tests.support.mesh_fixtures import load_accounts
from tests.support.otlp_receiver import Mood, OtlpReceiver, closed_port, otlp_receiver
from tests.support.running_mesh import RunningMesh

PIPED = ("gateway", "features", "inference", "postprocess")
"""Processes whose standard output is a pipe; that of `ingest` is a file on a full disk."""

QUEUE_SPANS = 1000
_SCRAPERS = 12
_BATCH = 250
_CALLERS = 4
_DROPPED = b'"message":"%s"' % DROPPED.encode()
# After so long without any, writers have nothing left.
_QUIET_S = 0.05
_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"


class DeafMesh(RunningMesh):
    """Every prediction is traced and told in the log, and each way out can be stopped.

    Attributes:
        receiver: of the spans of gateway, ingest and postprocess.
        unavailable: of the spans of features, which answers 503; that of inference refuses
            connections and always will.
        logstash: of the lines of all processes.
        pipes: by process; read only by `collect`.
        told: what was read from each pipe so far.
        disk: file of ingest's lines; a link to what is always full, or to a file.
    """

    def __init__(
        self,
        redis: LocalRedis,
        triton: LocalTriton,
        folder: Path,
        receiver: OtlpReceiver,
        unavailable: OtlpReceiver,
        refused_port: int,
        logstash: HangingLogstash,
    ) -> None:
        """Describes the mesh; `start` starts it."""
        self.receiver, self.unavailable, self.logstash = receiver, unavailable, logstash
        self.pipes = {name: UnreadPipe(folder / f"{name}.pipe") for name in PIPED}
        self.told = {name: bytearray() for name in PIPED}
        self.disk = folder / "ingest.lines"
        self._file = folder / "ingest.file"
        self.disk.symlink_to(self._file)
        self._scrapers: list[socket.socket] = []
        endpoints = {
            "features": unavailable.url,
            "inference": f"http://127.0.0.1:{refused_port}",
            **dict.fromkeys(("gateway", "ingest", "postprocess"), receiver.url),
        }
        common = {
            "TAILRACE_TRACES_SAMPLE_RATE": "1",
            "TAILRACE_TRACES_QUEUE_SPANS": str(QUEUE_SPANS),
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "TAILRACE_LOG_SAMPLE_RATE": "1",
            "TAILRACE_LOG_TCP": logstash.address,
        }
        own: dict[str, dict[str, str]] = {
            name: {"TAILRACE_TRACES_ENDPOINT": endpoint} for name, endpoint in endpoints.items()
        }
        for name, pipe in self.pipes.items():
            own[name][VARIABLE] = str(pipe.path)
        own["ingest"]["TAILRACE_LOG_FILE"] = str(self.disk)
        super().__init__(redis, triton, folder, {"all": common, **own})

    def add(self, service: str, name: str) -> MeshProcess:
        """Launches a process, its output in its pipe."""
        process = MeshProcess(
            service,
            run_dir=self._run_dir,
            settings=self._environment(service),
            name=name,
            module=MODULE if name in self.pipes else "tailrace.cli",
        )
        self.processes[name] = process
        process.launch()
        return process

    def restart_ended(self) -> None:
        """Starts again what has ended, where it was."""
        ended = [each for each in self.processes.values() if not each.process.running]
        for process in ended:
            process.launch()
        for process in ended:
            process.wait_ready()
            self.wait_serving(process.service)

    # -- what goes wrong -------------------------------------------------------------------

    def break_all(self) -> None:
        """From now on nobody takes anything, and every disk is full."""
        self.receiver.mood = Mood.HANGS
        self.unavailable.mood = Mood.UNAVAILABLE
        self.logstash.reads = False
        self._link_disk_to(Path("/dev/full"))

    def mend_all(self) -> None:
        """From now on spans and lines are taken; pipes by `collect`, and scrapers are gone."""
        self.receiver.mood = self.unavailable.mood = Mood.TAKES
        self.logstash.reads = True
        self._link_disk_to(self._file)
        self.leave_scrapers()

    def crowd_scrapers(self) -> None:
        """Connects many scrapers to each process that ask and never read."""
        for process in self.processes.values():
            for _ in range(_SCRAPERS):
                scraper = socket.socket()
                # Else the whole answer fits.
                scraper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                scraper.connect(("127.0.0.1", process.metrics_port))
                scraper.sendall(_REQUEST)
                self._scrapers.append(scraper)

    def leave_scrapers(self) -> None:
        """Closes their connections."""
        while self._scrapers:
            self._scrapers.pop().close()

    def _link_disk_to(self, target: Path) -> None:
        link = self.disk.with_suffix(".new")
        link.symlink_to(target)
        link.replace(self.disk)

    # -- what it does ----------------------------------------------------------------------

    def predict(self, count: int) -> None:
        """Asks for predictions, and fails unless every one is answered, right and live."""

        def ask(first: int) -> None:
            places = range(first, min(first + _BATCH, count))
            rows: list[Fields] = [
                {"x0": float(place % 1000), "account": "account-1"} for place in places
            ]
            answers = client.predict_batch("echo", rows, timeout=10)
            for place, answer in zip(places, answers, strict=True):
                assert isinstance(answer, Prediction), answer
                assert answer.quality is Quality.LIVE, answer
                # x0 + 100 a + 1000 b
                assert answer.values["score"] == place % 1000 + 300 + 4000

        with Client(self.target) as client, ThreadPoolExecutor(_CALLERS) as threads:
            list(threads.map(ask, range(0, count, _BATCH)))

    def resident_bytes(self) -> dict[str, int]:
        """Returns the resident memory of each process."""
        return {
            name: psutil.Process(process.process.pid).memory_info().rss
            for name, process in self.processes.items()
        }

    # -- what it tells ---------------------------------------------------------------------

    def count(self, name: str, metric: str, **labels: str) -> int:
        """Returns a counter of a process; 0 if there is none of these labels."""
        url = f"http://127.0.0.1:{self.processes[name].metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=20.0) as answer:
            text = answer.read().decode()
        wanted = ",".join(f'{label}="{value}"' for label, value in labels.items())
        found = re.search(rf"^{metric}\{{{re.escape(wanted)}\}} (\S+)$", text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def spans_over(self, name: str) -> int:
        """Returns how many spans of a process are sent, failed or dropped."""
        outcomes = ("sent", "failed", "dropped")
        return sum(self.count(name, names.SPANS_TOTAL, outcome=each) for each in outcomes)

    def dropped_lines(self, name: str, output: str) -> int:
        """Returns how many lines of a process an output has not taken."""
        return self.count(name, names.LOG_LINES_DROPPED_TOTAL, output=output)

    def spans_sent(self, name: str) -> int:
        """Returns how many spans of a process were taken."""
        return self.count(name, names.SPANS_TOTAL, outcome="sent")

    def received(self, receiver: OtlpReceiver, name: str) -> int:
        """Returns how many spans of a process a receiver has."""
        pid = self.processes[name].process.pid
        return sum(span.resource["process.pid"] == pid for span in receiver.spans())

    def collect(self) -> None:
        """Reads the pipes until nothing more comes."""
        names_of = {pipe: name for name, pipe in self.pipes.items()}
        while ready := select.select(list(names_of), [], [], _QUIET_S)[0]:
            for pipe in ready:
                self.told[names_of[pipe]] += pipe.read()

    def settled(self) -> bool:
        """Returns whether both outputs of each process have taken or dropped the same lines.

        Each is offered every line of the process. Reads the pipes.
        """
        self.collect()
        return all(first == second for first, second in self.lines_over().values())

    def lines_over(self) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
        """Returns what became of lines at both outputs of each process.

        Of each output: how many it has taken or dropped, and how many it dropped without a line
        that says so.
        """
        over_tcp = self.logstash.lines()
        found = {}
        for name, process in self.processes.items():
            pid = b'"pid":%d' % process.process.pid
            first = self.told[name] if name in self.pipes else self._file.read_bytes()
            outputs = {
                "stdout" if name in self.pipes else "file": bytes(first).split(b"\n")[:-1],
                "tcp": over_tcp,
            }
            one, other = (
                self._over(name, output, [line for line in lines if pid in line])
                for output, lines in outputs.items()
            )
            found[name] = one, other
        return found

    def _over(self, name: str, output: str, lines: list[bytes]) -> tuple[int, int]:
        notes = [line for line in lines if _DROPPED in line]
        told = sum([json.loads(line)["labels"]["dropped_lines"] for line in notes])
        dropped = self.dropped_lines(name, output)
        return len(lines) - len(notes) + dropped, dropped - told

    def end(self) -> None:
        """Ends all that is left of it."""
        self.leave_scrapers()
        self.kill()
        for pipe in self.pipes.values():
            pipe.close()


@contextlib.contextmanager
def deaf_mesh(folder: Path, redis: LocalRedis, triton: LocalTriton) -> Iterator[DeafMesh]:
    """Runs one that serves, and of which everything is taken at first.

    Args:
        folder: for files and logs.
        redis: running.
        triton: running, with the test models.
    """
    with contextlib.ExitStack() as stack:
        mesh = DeafMesh(
            redis,
            triton,
            folder,
            stack.enter_context(otlp_receiver()),
            stack.enter_context(otlp_receiver()),
            stack.enter_context(closed_port()),
            stack.enter_context(hanging_logstash()),
        )
        stack.callback(mesh.end)
        load_accounts(redis, mesh.files / "features", folder)
        mesh.mend_all()
        mesh.start()
        yield mesh
