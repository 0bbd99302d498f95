"""The pipeline versions that a process can serve, kept up to date with a directory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from tailrace.runtime.errors import NotFound, Reason, Unavailable
from tailrace.runtime.pipeline.directory import (
    DirectoryContent,
    Signature,
    directory_signature,
    load_directory,
)
from tailrace.runtime.pipeline.load import SpecError, nearest
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.problem import refusal

Compiled = TypeVar("Compiled")

KEPT_VERSIONS = 8
MIN_RESCAN_INTERVAL_S = 0.05

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Served(Generic[Compiled]):
    """What is served under one name; replaced as a whole, as `load` runs beside requests.

    Attributes:
        current: the version that new requests get.
        versions: what was compiled of the last few versions, oldest first, `current` among them.
    """

    current: Pipeline
    versions: Mapping[str, Compiled]


class PipelineRegistry(Generic[Compiled]):
    """Serves compiled pipelines by name and exact version.

    A changed file is picked up without a restart; a file that has become broken leaves the
    running version in place. The last few versions stay, so that a request is served wholly
    by the version it began with.
    """

    def __init__(self, directory: Path, compile_for_service: Callable[[Pipeline], Compiled]):
        """Keeps the settings; nothing is read before `load`.

        Args:
            directory: holds the pipeline files.
            compile_for_service: makes what this service needs of a pipeline; may raise
                SpecError, which keeps the version out.
        """
        self._directory = directory
        self._compile = compile_for_service
        self._signature: Signature | None = None
        self._served: dict[str, _Served[Compiled]] = {}
        self._errors: dict[Path, SpecError] = {}
        self._content = DirectoryContent()
        self._scan_lock = asyncio.Lock()
        self._last_scan = float("-inf")

    @property
    def errors(self) -> dict[Path, SpecError]:
        """What keeps files from being served, by file."""
        return dict(self._errors)

    @property
    def content(self) -> DirectoryContent:
        """What the directory held when it was last read; another object after each change.

        What is served may differ: a pipeline whose file is broken, or that this service cannot
        compile.
        """
        return self._content

    def __contains__(self, name: object) -> bool:
        """Returns whether there is a pipeline of that name."""
        return name in self._served

    def pipelines(self) -> list[Pipeline]:
        """Returns the current version of every pipeline, by name."""
        served = dict(self._served)
        return [served[name].current for name in sorted(served)]

    def load(self) -> None:
        """Reads the directory now, if anything in it has changed."""
        self._last_scan = time.monotonic()
        signature = directory_signature(self._directory)
        if signature == self._signature:
            return
        self._signature = signature
        content = load_directory(self._directory)
        errors = dict(content.errors)
        for name, pipeline in content.pipelines.items():
            served = self._served.get(name)
            try:
                if served is not None and pipeline.version in served.versions:
                    compiled = served.versions[pipeline.version]
                else:
                    compiled = self._compile(pipeline)
            except Exception as error:  # user functions are imported here
                refused = refusal(pipeline.file, error)
                errors[refused.file] = refused
                continue
            self._admit(pipeline, compiled)
        self._forget_removed(content.pipelines, errors)
        for file, refused in errors.items():
            if str(self._errors.get(file)) != str(refused):
                _log.error("pipeline file refused", file=str(file), problems=str(refused))
        self._errors = errors
        self._content = content

    async def refresh(self) -> None:
        """Returns once the directory has been read in a thread, not before this call.

        It is read at most once per short interval, for however many calls.
        """
        asked = time.monotonic()
        async with self._scan_lock:
            if self._last_scan > asked:
                return
            await asyncio.sleep(self._last_scan + MIN_RESCAN_INTERVAL_S - time.monotonic())
            try:
                await asyncio.to_thread(self.load)
            except OSError as error:
                # Such as a folder that went while it was being read: the next look tells.
                self._signature = None
                _log.warning("pipelines cannot be read", exc_info=error)

    async def watch(self, interval_s: float) -> None:
        """Looks for changed files every `interval_s` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.refresh()

    def find(self, name: str, version: str = "") -> Compiled:
        """Returns what was compiled of a pipeline.

        Args:
            name: the pipeline.
            version: exact or declared version; empty means the current one.

        Raises:
            NotFound: no such pipeline or version.
        """
        served = self._served.get(name)
        if served is None:
            suggestion = nearest(name, list(self._served))
            hint = f"; did you mean {suggestion!r}?" if suggestion else ""
            raise NotFound(
                f"no pipeline {name[:64]!r}{hint}",
                field="pipeline",
                reason=Reason.PIPELINE_NOT_FOUND,
            )
        current, versions = served.current, served.versions
        if version in ("", current.version, current.spec.version):
            return versions[current.version]
        if version in versions:
            return versions[version]
        raise NotFound(
            f"pipeline {name!r} has no version {version[:64]!r}; current is {current.version!r}",
            field="pipeline_version",
            reason=Reason.PIPELINE_VERSION_NOT_FOUND,
        )

    async def find_for_hop(self, name: str, version: str) -> Compiled:
        """Returns what was compiled of a version, rereading the directory if it is unknown.

        The gateway may have seen a new file a moment before this process.

        Raises:
            NotFound: no such pipeline, or no such declared version.
            Unavailable: an exact version (with a digest) that is not here yet.
        """
        try:
            return self.find(name, version)
        except NotFound:
            await self.refresh()
        try:
            return self.find(name, version)
        except NotFound as error:
            if error.reason is Reason.PIPELINE_VERSION_NOT_FOUND and "-" in version:
                raise Unavailable(
                    error.message,
                    field="batch.pipeline_version",
                    reason=Reason.PIPELINE_VERSION_NOT_READY,
                ) from error
            raise

    def _admit(self, pipeline: Pipeline, compiled: Compiled) -> None:
        before = self._served.get(pipeline.name)
        versions = dict(before.versions) if before is not None else {}
        versions.pop(pipeline.version, None)
        versions[pipeline.version] = compiled
        while len(versions) > KEPT_VERSIONS:
            del versions[next(iter(versions))]
        self._served[pipeline.name] = _Served(pipeline, versions)
        if before is None or before.current.version != pipeline.version:
            _log.info("pipeline version admitted", pipeline=pipeline.name, version=pipeline.version)

    def _forget_removed(self, loaded: dict[str, Pipeline], errors: dict[Path, SpecError]) -> None:
        # A pipeline goes when its file is gone or names another; a broken file keeps it.
        for name, served in list(self._served.items()):
            if name not in loaded and served.current.file not in errors:
                del self._served[name]
                _log.info("pipeline removed", pipeline=name)
