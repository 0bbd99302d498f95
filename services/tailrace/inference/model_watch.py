"""Which models can be run: asked of the backend again and again.

The poll is the only thing that tries again. A call to a model that was not ready a moment ago
fails at once, without a call to the backend, so an outage brings no storm of retries.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from tailrace.inference.backend import ModelBackend, ModelMetadata
from tailrace.inference.compile import InferencePlan
from tailrace.inference.watched_model import LOOK_TIMEOUT_S, WatchedModel
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import TailraceError

MIN_POLL_GAP_S = 0.1

_log = structlog.get_logger(__name__)


class ModelWatch:
    """Knows, without asking, whether a model can be run."""

    def __init__(
        self,
        backend: ModelBackend,
        plans: Callable[[], Sequence[InferencePlan]],
        poll_s: float,
    ) -> None:
        """Keeps the parts; nothing is asked before `run` or `find`.

        Args:
            backend: to be asked.
            plans: returns the plans of all pipelines that are being served.
            poll_s: seconds between two polls.
        """
        self._backend = backend
        self._plans = plans
        self._poll_s = poll_s
        self._models: dict[str, WatchedModel] = {}
        self._wake = asyncio.Event()
        self._told: dict[str, str] = {}

    async def find(self, model: str, version: str) -> ModelMetadata:
        """Returns a version that was ready at the last poll.

        Only a version that has never been asked about is asked about now.

        Args:
            model: name of the model.
            version: its number, or LATEST.

        Raises:
            NotFound: there is no such model or version.
            Unavailable: it is not ready, or the backend cannot be reached.
        """
        watched = self._watched(model)
        if not watched.has_asked(version):
            watched.want((version,))
            await watched.look(unless_asked=version)
        metadata = watched.ready(version)
        if metadata is None:
            raise watched.failure(version)
        return metadata

    def suspect(self, model: str) -> None:
        """Asks about a model sooner: a call has just failed as if it had gone or changed."""
        self._watched(model).stale = True
        self._wake.set()

    async def run(self, tell: Callable[[bool], Awaitable[None]]) -> None:
        """Polls until cancelled.

        Args:
            tell: called after every poll with whether at least one pipeline can be served.
        """
        while True:
            reachable = await self.poll()
            await tell(reachable and self._can_serve())
            # Not sooner than the gap, however many calls fail.
            await asyncio.sleep(min(MIN_POLL_GAP_S, self._poll_s))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._poll_s - MIN_POLL_GAP_S)):
                    await self._wake.wait()
            self._wake.clear()

    async def poll(self) -> bool:
        """Asks about the server and every model; returns whether the server answered."""
        for plan in self._plans():
            self._watched(plan.model).want(plan.choice.versions)
        try:
            await self._backend.check_server(Deadline.after_s(LOOK_TIMEOUT_S))
        except TailraceError as error:
            for watched in self._models.values():
                watched.lose(error)
            self._tell_changes()
            return False
        await asyncio.gather(*(watched.look() for watched in self._models.values()))
        self._tell_changes()
        return True

    def _can_serve(self) -> bool:
        plans = self._plans()
        return not plans or any(self._why_not(plan) == "" for plan in plans)

    def _why_not(self, plan: InferencePlan) -> str:
        """Returns why a pipeline cannot be served; empty if at least one version of it can."""
        watched = self._watched(plan.model)
        reasons = []
        for version in plan.choice.versions:
            metadata = watched.ready(version)
            if metadata is None:
                reasons.append(watched.failure(version).message)
            else:
                reasons.append(plan.mismatch(metadata))
        return "" if "" in reasons else "; ".join(reasons)

    def _watched(self, model: str) -> WatchedModel:
        watched = self._models.get(model)
        if watched is None:
            watched = self._models[model] = WatchedModel(self._backend, model)
        return watched

    def _tell_changes(self) -> None:
        """Logs every pipeline whose lot has changed since the last poll."""
        told: dict[str, str] = {}
        for plan in self._plans():
            told[plan.pipeline] = why_not = self._why_not(plan)
            if self._told.get(plan.pipeline) == why_not:
                continue
            line = {names.PIPELINE: plan.pipeline, names.MODEL: plan.model}
            if why_not:
                _log.warning("model cannot serve", **line, **{names.ERROR_MESSAGE: why_not})
            else:
                _log.info("model can serve", **line)
        self._told = told
