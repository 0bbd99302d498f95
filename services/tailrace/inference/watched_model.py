"""What is known of one model: which of its versions are ready, and what they take and give."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from tailrace.inference.backend import ModelBackend, ModelMetadata
from tailrace.inference.model_metrics import MODEL_READY
from tailrace.inference.versions import LATEST
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import NotFound, Reason, TailraceError, Unavailable

LOOK_TIMEOUT_S = 2.0

Failure = NotFound | Unavailable

_log = structlog.get_logger(__name__)


class WatchedModel:
    """One model, as it was when the backend was last asked about it.

    Attributes:
        stale: whether descriptions must be read anew even where the versions are the same.
    """

    def __init__(self, backend: ModelBackend, name: str) -> None:
        """Knows nothing yet."""
        self.stale = False
        self._backend = backend
        self._name = name
        self._wanted: set[str] = set()
        self._ready: dict[str, ModelMetadata] = {}
        self._failures: dict[str, Failure] = {}
        self._known: set[str] = set()
        self._lock = asyncio.Lock()

    def want(self, versions: Sequence[str]) -> None:
        """Adds versions to what is asked about; LATEST stands for the highest one ready."""
        self._wanted.update(versions)

    def has_asked(self, version: str) -> bool:
        """Returns whether the backend has been asked about a version."""
        return version in self._ready or version in self._failures

    def ready(self, version: str) -> ModelMetadata | None:
        """Returns what a version takes and gives; None if it is not ready."""
        return self._ready.get(version)

    def failure(self, version: str) -> Failure:
        """Returns why a version is not ready, as a new object for each caller to raise."""
        known = self._failures.get(version)
        if known is None:
            return Unavailable(
                f"model {self._name!r} has not been asked about", reason=Reason.MODEL_UNAVAILABLE
            )
        return type(known)(known.message, reason=known.reason)

    async def look(self, *, unless_asked: str | None = None) -> None:
        """Asks the backend about every wanted version.

        Args:
            unless_asked: a version; if somebody else has asked about it by now, that is enough.
        """
        async with self._lock:
            if unless_asked is not None and self.has_asked(unless_asked):
                return
            deadline = Deadline.after_s(LOOK_TIMEOUT_S)
            wanted = set(self._wanted)
            try:
                versions = await self._backend.ready_versions(self._name, deadline)
                await self._describe(versions, wanted, deadline)
            except Exception as error:  # whatever a server answers, the poll must outlive it
                self.lose(error, wanted)
        MODEL_READY.labels(self._name).set(bool(self._ready))

    def lose(self, error: Exception, versions: set[str] | None = None) -> None:
        """Takes note that no version can be run, and why."""
        self._ready = {}
        self._failures = dict.fromkeys(versions or self._wanted, self._as_failure(error))
        MODEL_READY.labels(self._name).set(0)

    async def _describe(
        self, versions: tuple[str, ...], wanted: set[str], deadline: Deadline
    ) -> None:
        kept = {} if self.stale else {m.version: m for m in self._ready.values()}
        ready: dict[str, ModelMetadata] = {}
        failures: dict[str, Failure] = {}
        self.stale = False
        for version in wanted:
            failures[version] = self._missing(version)
            # Of the latest, the highest that can be described: a broken one must not hide it.
            for number in reversed(versions) if version == LATEST else (version,):
                if number not in versions:
                    continue
                try:
                    if number not in kept:
                        kept[number] = await self._backend.metadata(self._name, number, deadline)
                except TailraceError as error:
                    failures[version] = self._as_failure(error)
                    continue
                ready[version] = kept[number]
                del failures[version]
                break
        self._ready, self._failures = ready, failures
        self._known.update(versions)

    def _missing(self, version: str) -> Failure:
        if version in self._known:
            return Unavailable(
                f"model {self._name!r} version {version} is not ready",
                reason=Reason.MODEL_UNAVAILABLE,
            )
        return NotFound(
            f"model {self._name!r} has no version {version} ready", reason=Reason.MODEL_NOT_FOUND
        )

    def _as_failure(self, error: Exception) -> Failure:
        """Returns what callers are told until the backend is asked again."""
        if isinstance(error, NotFound | Unavailable):
            return error
        if not isinstance(error, TailraceError):
            _log.error("model cannot be asked about", **{names.MODEL: self._name}, exc_info=error)
        return Unavailable(
            f"model {self._name!r} cannot be asked about", reason=Reason.MODEL_UNAVAILABLE
        )
