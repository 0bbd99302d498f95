"""Which versions of which models are ready: asked of the backend again and again.

The poll is the only thing that tries again. A call to a model that was not ready a moment ago
fails at once, without a call to the backend, so an outage brings no storm of retries.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from tailrace.inference.backend import ModelBackend, ModelMetadata
from tailrace.inference.compile import InferencePlan
from tailrace.inference.model_metrics import MODEL_READY
from tailrace.inference.versions import LATEST
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import NotFound, Reason, TailraceError, Unavailable

POLL_TIMEOUT_S = 2.0
MIN_POLL_GAP_S = 0.1

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Watched:
    """What is known of one model.

    Attributes:
        wanted: the versions that pipelines use; LATEST stands for the highest one ready.
        ready: what the wanted versions take and give, for those that are ready.
        failure: why a wanted version is not ready.
        known: version numbers that have been ready at some time.
        stale: whether descriptions must be read anew, though the versions are the same.
    """

    wanted: set[str] = field(default_factory=set)
    ready: dict[str, ModelMetadata] = field(default_factory=dict)
    failure: dict[str, NotFound | Unavailable] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    stale: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def has_asked(self, version: str) -> bool:
        """Returns whether the backend has been asked about a version."""
        return version in self.ready or version in self.failure


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
        self._models: dict[str, _Watched] = {}
        self._wake = asyncio.Event()
        self._told: dict[str, str] = {}

    async def find(self, model: str, version: str) -> ModelMetadata:
        """Returns a version that was ready at the last poll.

        Only a model that has never been asked about is asked about now.

        Args:
            model: name of the model.
            version: its number, or LATEST.

        Raises:
            NotFound: there is no such model or version.
            Unavailable: it is not ready, or the backend cannot be reached.
        """
        watched = self._models.get(model)
        if watched is None or not watched.has_asked(version):
            watched = await self._look_first(model, version)
        metadata = watched.ready.get(version)
        if metadata is None:
            known = watched.failure[version]
            # A fresh one each time: raising the same object again would lengthen its traceback.
            raise type(known)(known.message, reason=known.reason)
        return metadata

    def suspect(self, model: str) -> None:
        """Asks about a model sooner: a call has just failed as if it had gone or changed."""
        watched = self._models.get(model)
        if watched is not None:
            watched.stale = True
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
            self._watched(plan.model).wanted.update(plan.choice.versions)
        try:
            await self._backend.check_server(Deadline.after_s(POLL_TIMEOUT_S))
        except TailraceError as error:
            for model, watched in self._models.items():
                watched.ready = {}
                watched.failure = dict.fromkeys(watched.wanted, _lasting(model, error))
                MODEL_READY.labels(model).set(0)
            self._tell_changes()
            return False
        await asyncio.gather(*(self._look(model) for model in self._models))
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
            metadata = watched.ready.get(version)
            if metadata is not None:
                reasons.append(plan.mismatch(metadata))
            elif version in watched.failure:
                reasons.append(watched.failure[version].message)
            else:
                reasons.append("not asked about yet")
        return "" if "" in reasons else "; ".join(reasons)

    def _watched(self, model: str) -> _Watched:
        return self._models.setdefault(model, _Watched())

    async def _look_first(self, model: str, version: str) -> _Watched:
        watched = self._watched(model)
        async with watched.lock:
            asked = watched.has_asked(version)
        if not asked:
            watched.wanted.add(version)
            await self._look(model)
        return watched

    async def _look(self, model: str) -> None:
        watched = self._models[model]
        async with watched.lock:
            deadline = Deadline.after_s(POLL_TIMEOUT_S)
            wanted = set(watched.wanted)
            try:
                versions = await self._backend.ready_versions(model, deadline)
                fresh = await self._describe(model, watched, versions, wanted, deadline)
            except Exception as error:  # the poll must outlive whatever a server answers
                watched.ready, watched.failure = {}, dict.fromkeys(wanted, _lasting(model, error))
            else:
                watched.ready, watched.failure = fresh, _failures(model, watched, fresh, wanted)
                watched.known.update(versions)
                watched.stale = False
        MODEL_READY.labels(model).set(bool(watched.ready))

    async def _describe(
        self,
        model: str,
        watched: _Watched,
        versions: tuple[str, ...],
        wanted: set[str],
        deadline: Deadline,
    ) -> dict[str, ModelMetadata]:
        kept = {} if watched.stale else {m.version: m for m in watched.ready.values()}
        fresh: dict[str, ModelMetadata] = {}
        for version in wanted:
            number = versions[-1] if version == LATEST else version
            if number in versions:
                if number not in kept:
                    kept[number] = await self._backend.metadata(model, number, deadline)
                fresh[version] = kept[number]
        return fresh

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


def _lasting(model: str, error: Exception) -> NotFound | Unavailable:
    """Returns what callers are told until the next poll."""
    if isinstance(error, NotFound | Unavailable):
        return error
    if not isinstance(error, TailraceError):
        _log.error("model cannot be asked about", **{names.MODEL: model}, exc_info=error)
    return Unavailable(f"model {model!r} cannot be asked about", reason=Reason.MODEL_UNAVAILABLE)


def _failures(
    model: str, watched: _Watched, fresh: dict[str, ModelMetadata], wanted: set[str]
) -> dict[str, NotFound | Unavailable]:
    failures: dict[str, NotFound | Unavailable] = {}
    for version in wanted.difference(fresh):
        if version in watched.known:
            failures[version] = Unavailable(
                f"model {model!r} version {version} is not ready", reason=Reason.MODEL_UNAVAILABLE
            )
        else:
            failures[version] = NotFound(
                f"model {model!r} has no version {version} ready", reason=Reason.MODEL_NOT_FOUND
            )
    return failures
