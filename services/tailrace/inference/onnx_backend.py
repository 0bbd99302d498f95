"""Models in this process, by ONNX Runtime. The only module that imports onnxruntime.

Reads `<model_repository>/<model>/<version>/model.onnx`. A version's file is taken to stay as
it is: a changed model is a new version.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tailrace.inference.backend import ModelAnswer, ModelCall, ModelMetadata
from tailrace.inference.onnx_models import MODEL_FILE, as_text, tensor_info, versions_of
from tailrace.inference.run_times import RunTimes
from tailrace.runtime.columns import Array
from tailrace.runtime.config import InferenceSettings
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    Reason,
    Unavailable,
)


class _Loaded:
    """One version of a model in memory."""

    def __init__(self, session: ort.InferenceSession, metadata: ModelMetadata) -> None:
        self.session = session
        self.metadata = metadata
        self.times = RunTimes()


class OnnxBackend:
    """Runs models on this process's own CPU."""

    def __init__(self, settings: InferenceSettings) -> None:
        """Keeps the settings; models are loaded as they are asked about."""
        if settings.model_repository is None:
            raise ValueError("the onnxruntime backend needs model_repository")
        self._repository = settings.model_repository
        self._threads_per_run = settings.onnx_intra_op_threads
        self._loaded: dict[tuple[str, str], _Loaded] = {}
        self._broken: dict[Path, int] = {}
        self._workers = max(1, (os.cpu_count() or 1) // self._threads_per_run)
        self._executor = ThreadPoolExecutor(self._workers, thread_name_prefix="onnx")

    async def check_server(self, deadline: Deadline) -> None:
        """Returns if the repository is there. Raises Unavailable."""
        if not await asyncio.to_thread(self._repository.is_dir):
            raise Unavailable(
                f"the model repository {self._repository} is not there",
                reason=Reason.MODEL_UNAVAILABLE,
            )

    async def ready_versions(self, model: str, deadline: Deadline) -> tuple[str, ...]:
        """Returns the versions that have a model file, ascending. Raises NotFound, Unavailable."""
        versions = await asyncio.to_thread(versions_of, self._repository, model)
        if versions is None:
            raise NotFound(
                f"the model repository has no model {model!r}", reason=Reason.MODEL_NOT_FOUND
            )
        for key in [key for key in self._loaded if key[0] == model and key[1] not in versions]:
            del self._loaded[key]
        if not versions:
            raise _unavailable(model)
        return versions

    async def metadata(self, model: str, version: str, deadline: Deadline) -> ModelMetadata:
        """Returns what a version takes and gives, once it is loaded. Raises Unavailable."""
        loaded = self._loaded.get((model, version))
        if loaded is None:
            loaded = await asyncio.to_thread(self._load, model, version)
            self._loaded[model, version] = loaded
        return loaded.metadata

    async def infer(self, call: ModelCall) -> ModelAnswer:
        """Runs a version: at once if it has been quick, else in a thread.

        Raises what `ModelBackend.infer` says.
        """
        metadata = call.metadata
        loaded = self._loaded.get((metadata.model, metadata.version))
        if loaded is None:
            raise _unavailable(metadata.model)
        inputs = {
            name: as_text(name, values) if values.dtype == np.dtype(object) else values
            for name, values in call.inputs.items()
        }
        rows = max((len(values) for values in inputs.values()), default=0)
        if loaded.times.is_quick(rows):
            outputs = _run(loaded, call, inputs, rows, None)
        else:
            options = ort.RunOptions()
            run = functools.partial(_run, loaded, call, inputs, rows, options)
            outputs = await self._in_thread(run, call, options)
        return ModelAnswer(metadata.version, dict(zip(call.outputs, outputs, strict=True)))

    async def close(self) -> None:
        """Waits for no run; those that have begun end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(
        self, run: Callable[[], list[Array]], call: ModelCall, options: ort.RunOptions
    ) -> list[Array]:
        future = self._executor.submit(run)
        try:
            async with asyncio.timeout(max(0.0, call.deadline.remaining_s())):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise _late(call) from error
        finally:
            # A queued run has been cancelled by now; a running one ends at its next operator.
            options.terminate = True

    def _load(self, model: str, version: str) -> _Loaded:
        file = self._repository / model / version / MODEL_FILE
        try:
            changed_ns = file.stat().st_mtime_ns
        except FileNotFoundError as error:
            raise _unavailable(model) from error
        if self._broken.get(file) == changed_ns:
            raise _unavailable(model)
        try:
            session = ort.InferenceSession(
                str(file), self._session_options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has no common type for a file it refuses
            # Told once, and not read again until it changes.
            self._broken[file] = changed_ns
            unexpected(error)
            raise _unavailable(model) from error
        metadata = ModelMetadata(
            model=model,
            version=version,
            inputs={item.name: tensor_info(item) for item in session.get_inputs()},
            outputs={item.name: tensor_info(item) for item in session.get_outputs()},
            # More would wait for a thread, where they are not in order of importance.
            calls_at_once=self._workers,
        )
        return _Loaded(session, metadata)

    def _session_options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads_per_run
        options.inter_op_num_threads = 1
        # Idle threads would burn the CPU that the event loop needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        return options


def _run(
    loaded: _Loaded,
    call: ModelCall,
    inputs: dict[str, Array],
    rows: int,
    options: ort.RunOptions | None,
) -> list[Array]:
    """Returns the outputs of one execution, here or in a thread, which `options` may end."""
    if call.deadline.expired() or (options and options.terminate):
        raise _late(call)
    started = time.perf_counter()
    try:
        outputs: list[Array] = loaded.session.run(call.outputs, inputs, options)
    except Exception as error:  # onnxruntime's errors share no type but this one
        if options and options.terminate:
            raise _late(call) from error
        if _is_about_inputs(error):
            text = " ".join(str(error).split())[:300]
            raise FailedPrecondition(
                f"model {call.metadata.model!r} does not take what the pipeline gives: {text}",
                reason=Reason.MODEL_MISMATCH,
            ) from error
        raise unexpected(error) from error
    loaded.times.record(rows, time.perf_counter() - started)
    return outputs


def _is_about_inputs(error: Exception) -> bool:
    return type(error).__name__ == "InvalidArgument"


def _late(call: ModelCall) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"the deadline passed while model {call.metadata.model!r} was being called"
    )


def _unavailable(model: str) -> Unavailable:
    return Unavailable(
        f"model {model!r} cannot serve at the moment", reason=Reason.MODEL_UNAVAILABLE
    )
