"""Shows what goes on, and for how long already: live on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

# How often a plain line says that a long step still runs, in seconds.
_REMINDER_S = 10.0


class Step:
    """Something that goes on.

    Attributes:
        title: what goes on.
        detail: how far it has come.
        remind_at_s: when to say next that it still does, in seconds after its start.
    """

    def __init__(self, title: str, live: Progress | None) -> None:
        self.title = title
        self.started = time.monotonic()
        self.detail = ""
        self.remind_at_s = _REMINDER_S
        self._live = live
        self._task: TaskID | None = live.add_task(escape(title)) if live else None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started

    @property
    def so_far(self) -> str:
        """What goes on and how far it has come."""
        return f"{self.title}: {self.detail}" if self.detail else self.title

    def tell(self, detail: str) -> None:
        """Says how far the step has come; the last word stands in its closing line."""
        self.detail = detail
        if self._live and self._task is not None:
            self._live.update(self._task, description=escape(self.so_far))

    def vanish(self) -> None:
        """Takes the step off the live display."""
        if self._live and self._task is not None:
            self._live.remove_task(self._task)


class Steps:
    """The steps of one run; several may go on at once."""

    def __init__(self, console: Console) -> None:
        """Shows steps on `console`, live if it is a terminal."""
        self._console = console
        self._live: Progress | None = None
        self._running: list[Step] = []
        self.began = time.monotonic()

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[Steps]:
        """Shows the steps that go on inside the block."""
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Progress(*columns, console=self._console, transient=True) as live:
                self._live = live
                yield self
            self._live = None
            return
        reminding = asyncio.create_task(self._remind())
        try:
            yield self
        finally:
            reminding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reminding

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Shows a step for as long as the block runs, and how it ended."""
        step = Step(title, self._live)
        self._running.append(step)
        if not self._live:
            self._say("....", title)
        try:
            yield step
        except asyncio.CancelledError:
            self._close(step, "[dim]left[/]")
            raise
        except BaseException:
            self._close(step, "[red]FAIL[/]")
            raise
        else:
            self._close(step, "[green]done[/]")

    def _close(self, step: Step, mark: str) -> None:
        self._running.remove(step)
        step.vanish()
        self._say(mark, f"{step.so_far} ({step.elapsed_s:.1f} s)")

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(_REMINDER_S / 20)
            for step in self._running:
                if step.elapsed_s >= step.remind_at_s:
                    step.remind_at_s = step.elapsed_s + _REMINDER_S
                    self._say("....", f"{step.so_far} ({step.elapsed_s:.0f} s so far)")

    def _say(self, mark: str, text: str) -> None:
        since = f"{time.monotonic() - self.began:6.1f} s"
        line = f"[dim]{since}[/]  {mark}  {escape(text)}"
        self._console.print(line, highlight=False, soft_wrap=True)
