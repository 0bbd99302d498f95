"""Makes what an example is served from, once, and finds it again."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tailrace.cli.example import Example, PrepareSection
from tailrace.cli.local.errors import LaunchError, ProcessExited
from tailrace.cli.local.process import ChildProcess
from tailrace.cli.progress import Step, Steps

_POLL_INTERVAL_S = 0.1


class PreparationFailed(LaunchError):
    """An example could not be prepared.

    Attributes:
        example: name of the example.
        log_path: all that the preparation wrote.
    """

    def __init__(self, example: str, *, log_path: Path, cause: str) -> None:
        self.example = example
        self.log_path = log_path
        super().__init__(f"the example {example!r} could not be prepared. {cause}")


@dataclass(frozen=True, kw_only=True)
class PreparedExample:
    """An example with everything that it is served from.

    Attributes:
        example: the example.
        folder: what its preparation has made; its own folder if it has none.
        cached: whether nothing had to be made, as by an earlier run.
        seconds: how long it took now.
    """

    example: Example
    folder: Path
    cached: bool
    seconds: float

    @property
    def model_repository(self) -> Path:
        """The Triton model repository."""
        return self.folder / self.example.manifest.triton.repository

    def static_views(self) -> dict[str, Path]:
        """Returns the file to load into each static view."""
        views = self.example.manifest.static_views
        return {view: self.folder / file for view, file in views.items()}


async def prepare(example: Example, cache_dir: Path, steps: Steps) -> PreparedExample:
    """Returns the prepared example, made now unless it is in `cache_dir` already.

    It is found again by a digest of all that it is made from. Of several that want it at
    once, one makes it and the others wait. An example without a preparation is served from
    its own folder, as it is.

    Raises:
        PreparationFailed: if its command fails, or does not make the folder.
        ExampleInvalid: if something that it is made from is missing.
    """
    section = example.manifest.prepare
    if section is None:
        return PreparedExample(example=example, folder=example.folder, cached=True, seconds=0.0)
    with steps.step(f"Preparing the example {example.manifest.example}") as step:
        out = await asyncio.to_thread(_place, example, cache_dir)
        async with _exclusive(out.with_suffix(".lock"), step):
            cached = _is_made(out)
            if cached:
                step.tell("made by an earlier run")
            else:
                await _make(example, section, out, step)
        return PreparedExample(example=example, folder=out, cached=cached, seconds=step.elapsed_s)


def _place(example: Example, cache_dir: Path) -> Path:
    cache_dir.mkdir(parents=True, exist_ok=True)
    return cache_dir / f"{example.manifest.example}-{example.digest()}"


def _is_made(out: Path) -> bool:
    return out.is_dir()


async def _make(example: Example, section: PrepareSection, out: Path, step: Step) -> None:
    name = example.manifest.example
    log_path = out.with_suffix(".log")
    log_path.unlink(missing_ok=True)
    _clear_partial(out)
    values = {"python": sys.executable, "out": str(out)}
    command = [part.format_map(values) for part in section.command]
    process = ChildProcess("preparation", command, log_path=log_path, cwd=example.folder)
    process.start()
    try:
        while process.running:
            step.tell("".join(process.last_log_lines(1)))
            await asyncio.sleep(_POLL_INTERVAL_S)
        if process.exit_status != 0:
            process.check()
        if not _is_made(out):
            cause = f"It ended well and did not make {out}."
            raise PreparationFailed(name, log_path=log_path, cause=cause)
    except ProcessExited as error:
        failed = PreparationFailed(name, log_path=log_path, cause=error.sentence)
        failed.excerpt = error.excerpt
        raise failed from error
    finally:
        process.stop()
        step.tell("".join(process.last_log_lines(1)))
        _clear_partial(out)


def _clear_partial(out: Path) -> None:
    # A preparation that was killed could not take its own leavings away.
    for partial in out.parent.glob(f".{out.name}-*"):
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.asynccontextmanager
async def _exclusive(lock_path: Path, step: Step) -> AsyncIterator[None]:
    with lock_path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                step.tell("waiting for another run that is making it")
                await asyncio.sleep(_POLL_INTERVAL_S)
        yield
