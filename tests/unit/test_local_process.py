"""Child processes: readiness, early death, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tailrace.cli.local.errors import NotReady, ProcessExited
from tailrace.cli.local.process import ChildProcess
from tests.support.waiting import is_gone, wait_for

IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True)"
HAS_A_CHILD = "import subprocess; c = subprocess.Popen(['sleep', '300']); print(c.pid, flush=True)"
SLEEPS = "import time; time.sleep(300)"


class StartPython(Protocol):
    """Starts a Python program as a `ChildProcess`."""

    def __call__(self, *statements: str, env: dict[str, str] | None = None) -> ChildProcess:
        """Returns the started process."""


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[StartPython]:
    """Starts Python programs that end with the test."""
    processes: list[ChildProcess] = []

    def start(*statements: str, env: dict[str, str] | None = None) -> ChildProcess:
        log_path = tmp_path / f"{len(processes)}.log"
        command = [sys.executable, "-c", "\n".join(statements)]
        process = ChildProcess("program", command, log_path=log_path, env=env)
        processes.append(process)
        process.start()
        return process

    yield start
    for process in processes:
        process.kill()


def first_word(process: ChildProcess) -> str | None:
    """Returns the first word that the process has written, once there is a whole line."""
    text = process.log_text()
    return text.split()[0] if "\n" in text else None


def test_wait_until_returns_what_the_probe_found(start_python: StartPython) -> None:
    process = start_python("print('listening')", SLEEPS)
    found = process.wait_until(lambda: first_word(process), timeout_s=5, waiting_for="a word")
    assert found == "listening"
    assert process.running


def test_early_exit_is_an_error_with_the_last_log_lines(start_python: StartPython) -> None:
    process = start_python("print('no disk', flush=True)", "raise SystemExit(3)")
    with pytest.raises(ProcessExited, match="no disk") as caught:
        process.wait_until(lambda: None, timeout_s=5, waiting_for="nothing")
    assert caught.value.exit_status == 3
    assert caught.value.last_lines == ("no disk",)


def test_death_by_a_signal_names_it_last(start_python: StartPython) -> None:
    process = start_python("print('working', flush=True)", SLEEPS)
    process.wait_until(lambda: first_word(process), timeout_s=5, waiting_for="a word")
    process.kill()
    with pytest.raises(ProcessExited) as caught:
        process.check()
    sentence = f"program was killed by SIGKILL; its log is {process.log_path}"
    assert str(caught.value) == f"from {process.log_path}:\n  | working\n{sentence}"
    assert caught.value.sentence == sentence


def test_missing_program_is_an_error_that_names_it(tmp_path: Path) -> None:
    process = ChildProcess("server", ["/no/such/server"], log_path=tmp_path / "log")
    process.start()
    with pytest.raises(ProcessExited, match="cannot run /no/such/server"):
        process.wait_until(lambda: None, timeout_s=5, waiting_for="nothing")


def test_never_ready_is_an_error_that_names_the_condition(start_python: StartPython) -> None:
    process = start_python(SLEEPS)
    with pytest.raises(NotReady, match=r"within 0\.1 s \(waiting for a miracle\)"):
        process.wait_until(lambda: None, timeout_s=0.1, waiting_for="a miracle")


def test_stop_ends_a_waiting_thread(start_python: StartPython) -> None:
    process = start_python(SLEEPS)
    caught: list[Exception] = []

    def wait() -> None:
        try:
            process.wait_until(lambda: None, timeout_s=60, waiting_for="nothing")
        except ProcessExited as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    process.stop()
    waiting.join(timeout=5)
    assert len(caught) == 1


def test_stop_kills_what_ignores_sigterm(start_python: StartPython) -> None:
    process = start_python(IGNORES_SIGTERM, SLEEPS)
    process.wait_until(lambda: first_word(process), timeout_s=5, waiting_for="a word")
    process.stop(grace_s=0.1)
    assert process.exit_status == -signal.SIGKILL


def test_stop_kills_what_is_stopped(start_python: StartPython) -> None:
    process = start_python(SLEEPS)
    process.signal(signal.SIGSTOP)
    process.stop(grace_s=0.1)
    assert not process.running


def test_end_of_a_process_ends_its_children(start_python: StartPython) -> None:
    process = start_python(HAS_A_CHILD, "c.wait()")
    child = process.wait_until(lambda: first_word(process), timeout_s=5, waiting_for="a pid")
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.running)
    wait_for(lambda: is_gone(int(child)))


def test_second_run_reports_only_its_own_output(start_python: StartPython) -> None:
    process = start_python("import time; print(time.time_ns())")
    assert process.wait(5) == 0
    (first,) = process.last_log_lines()
    process.start()
    assert process.wait(5) == 0
    (second,) = process.last_log_lines()
    assert first != second
    assert process.log_path.read_text() == f"{first}\n{second}\n"


def test_environment_is_handed_on_with_additions(start_python: StartPython) -> None:
    process = start_python(
        "import os; print(os.environ['ADDED'], 'PATH' in os.environ)", env={"ADDED": "yes"}
    )
    assert process.wait(5) == 0
    assert process.last_log_lines() == ["yes True"]


def test_broken_pipes_end_a_program_as_they_would_from_a_shell(tmp_path: Path) -> None:
    command = ["sh", "-c", "yes | head -n 1; echo ended"]
    process = ChildProcess("shell", command, log_path=tmp_path / "log")
    process.start()
    assert process.wait(5) == 0
    assert process.last_log_lines() == ["y", "ended"]


def test_start_from_another_thread_is_refused(tmp_path: Path) -> None:
    process = ChildProcess("program", ["true"], log_path=tmp_path / "log")
    caught: list[Exception] = []

    def start() -> None:
        try:
            process.start()
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_sigkill_of_the_launcher_ends_its_processes(tmp_path: Path) -> None:
    launcher = f"""
import time
from pathlib import Path
from tailrace.cli.local.process import ChildProcess
process = ChildProcess("program", ["sleep", "300"], log_path=Path({str(tmp_path / "log")!r}))
process.start()
print(process.pid, flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
    wait_for(lambda: is_gone(pid))
