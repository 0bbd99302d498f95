"""Models on a Triton server. The only module that imports tritonclient.

It uses tritonclient's generated stubs on a channel of our own. Measured in turns in one process,
one call at a time, on a model that hands a column back (two busy cores; medians of 31 repeats,
ratios to tritonclient's aio client; `python -m tailrace.loadtest.bench.triton_client`):

                               1 row: CPU, latency     256 rows: CPU, latency
    tritonclient's aio client  352 us 1.00  623 us 1.00    310 us 1.00  596 us 1.00
    its stubs, our channel            0.91         0.93           0.94         0.96
    this backend, all checks          0.94         0.97           0.92         0.95
"""

from __future__ import annotations

import grpc
import grpc.aio
import structlog
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from tailrace.inference.backend import ModelAnswer, ModelCall, ModelMetadata, TensorInfo
from tailrace.inference.triton_errors import infer_error, model_unavailable
from tailrace.inference.triton_scheduling import calls_at_once, may_stall
from tailrace.inference.triton_tensors import from_raw, from_triton_type, to_raw
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.columns import Array
from tailrace.runtime.config import InferenceSettings
from tailrace.runtime.credentials import open_channel
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import (
    DeadlineExceeded,
    ModelOutputInvalid,
    NotFound,
    Reason,
    TailraceError,
    Unavailable,
)
from tailrace.runtime.unary_method import UnaryMethod
from tailrace.v1.batch_pb2 import PRIORITY_BACKGROUND, PRIORITY_CRITICAL, PRIORITY_SHEDDABLE

MAX_TEMPLATES = 256

_log = structlog.get_logger(__name__)


class TritonBackend:
    """Asks a Triton server. Build it on the event loop that will use it."""

    def __init__(self, settings: InferenceSettings) -> None:
        """Opens the channel; it connects on the first call, and again whenever it has to."""
        options = _channel_options(settings.max_message_bytes)
        if settings.triton_plaintext:
            self._channel = grpc.aio.insecure_channel(settings.triton_url, options=options)
        else:
            self._channel = open_channel(settings.triton_url, settings, options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._infer = UnaryMethod(self._stub.ModelInfer)
        self._templates: dict[
            tuple[ModelMetadata, tuple[str, ...]], service_pb2.ModelInferRequest
        ] = {}

    async def check_server(self, deadline: Deadline) -> None:
        """Returns if the server is live. Raises Unavailable.

        Not ServerReady: one model that failed to load makes that false for all of them.
        """
        try:
            reply = await self._stub.ServerLive(
                service_pb2.ServerLiveRequest(), timeout=deadline.remaining_s()
            )
        except grpc.aio.AioRpcError as failure:
            raise Unavailable(
                f"Triton cannot be reached: {failure.code().name}",
                reason=Reason.MODEL_UNAVAILABLE,
            ) from failure
        if not reply.live:
            raise Unavailable("Triton is not live", reason=Reason.MODEL_UNAVAILABLE)

    async def ready_versions(self, model: str, deadline: Deadline) -> tuple[str, ...]:
        """Returns the versions that are ready, ascending. Raises NotFound, Unavailable."""
        try:
            reply = await self._stub.ModelMetadata(
                service_pb2.ModelMetadataRequest(name=model), timeout=deadline.remaining_s()
            )
        except grpc.aio.AioRpcError as failure:
            if failure.code() is grpc.StatusCode.NOT_FOUND:
                raise await self._why_unknown(model, deadline) from failure
            raise model_unavailable(model) from failure
        return tuple(sorted(reply.versions, key=int))

    async def metadata(self, model: str, version: str, deadline: Deadline) -> ModelMetadata:
        """Returns what a version takes and gives. Raises Unavailable."""
        try:
            reply = await self._stub.ModelMetadata(
                service_pb2.ModelMetadataRequest(name=model, version=version),
                timeout=deadline.remaining_s(),
            )
            config = await self._config(model, version, deadline)
        except grpc.aio.AioRpcError as failure:
            raise model_unavailable(model) from failure
        if may_stall(config):
            _log.warning(
                "model may hold calls up: it has a queue policy and no instance to spare",
                **{names.MODEL: model, names.MODEL_VERSION: version},
            )
        policy = config.dynamic_batching.default_queue_policy
        optional = {item.name for item in config.input if item.optional}
        return ModelMetadata(
            model=model,
            version=version,
            inputs={item.name: _tensor_info(item, optional) for item in reply.inputs},
            outputs={item.name: _tensor_info(item, optional) for item in reply.outputs},
            max_rows=config.max_batch_size,
            priority_levels=config.dynamic_batching.priority_levels,
            calls_at_once=calls_at_once(config),
            max_queue=policy.max_queue_size,
            takes_timeout=policy.allow_timeout_override,
        )

    async def infer(self, call: ModelCall) -> ModelAnswer:
        """Runs a version. Raises what `ModelBackend.infer` says."""
        remaining_s = call.deadline.remaining_s()
        model = call.metadata.model
        if remaining_s <= 0:
            raise DeadlineExceeded(f"the deadline passed before model {model!r} was called")
        request = service_pb2.ModelInferRequest()
        request.CopyFrom(self._template(call))
        for tensor in request.inputs:
            values = call.inputs[tensor.name]
            tensor.shape.extend(values.shape)
            request.raw_input_contents.append(to_raw(values))
        if call.metadata.takes_timeout:
            request.parameters["timeout"].int64_param = max(1, int(remaining_s * 1e6))
        priority = _triton_priority(call.priority, call.metadata.priority_levels)
        if priority:
            request.parameters["priority"].uint64_param = priority
        # Triton makes spans for every call that names a trace, in the sample or not.
        headers = call.trace.headers() if call.trace is not None else ()
        try:
            reply = await self._infer(request, timeout=remaining_s, metadata=headers)
        except grpc.aio.AioRpcError as failure:
            raise infer_error(model, failure) from failure
        return ModelAnswer(reply.model_version or call.metadata.version, _outputs(reply))

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    async def _why_unknown(self, model: str, deadline: Deadline) -> TailraceError:
        """Returns whether a model that is not ready exists at all, as the server's index has it."""
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(), timeout=deadline.remaining_s()
            )
        except grpc.aio.AioRpcError as failure:
            if failure.code() is not grpc.StatusCode.UNIMPLEMENTED:
                return model_unavailable(model)
        else:
            if any(entry.name == model for entry in index.models):
                return model_unavailable(model)
        return NotFound(f"the model server has no model {model!r}", reason=Reason.MODEL_NOT_FOUND)

    async def _config(
        self, model: str, version: str, deadline: Deadline
    ) -> model_config_pb2.ModelConfig:
        request = service_pb2.ModelConfigRequest(name=model, version=version)
        try:
            reply = await self._stub.ModelConfig(request, timeout=deadline.remaining_s())
        except grpc.aio.AioRpcError as failure:
            # Other servers of the Open Inference Protocol do not have this call.
            if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
                return model_config_pb2.ModelConfig()
            raise
        return reply.config

    def _template(self, call: ModelCall) -> service_pb2.ModelInferRequest:
        """Returns the part of the request that is the same for every call."""
        key = (call.metadata, call.outputs)
        template = self._templates.get(key)
        if template is None:
            metadata = call.metadata
            template = service_pb2.ModelInferRequest(
                model_name=metadata.model,
                model_version=metadata.version,
                inputs=[
                    service_pb2.ModelInferRequest.InferInputTensor(
                        name=name, datatype=metadata.inputs[name].type_name
                    )
                    for name in call.inputs
                ],
                outputs=[
                    service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name)
                    for name in call.outputs
                ],
            )
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            self._templates[key] = template
        return template


def _channel_options(max_message_bytes: int) -> list[tuple[str, object]]:
    return [
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # Also the longest that one attempt may take, which a busy server needs.
        ("grpc.min_reconnect_backoff_ms", 2_000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # Triton cuts a connection that pings more than twice within five minutes of silence.
        # The poll keeps it from being silent, and notices a server that has gone.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
    ]


def _tensor_info(
    item: service_pb2.ModelMetadataResponse.TensorMetadata, optional: set[str]
) -> TensorInfo:
    return TensorInfo(
        name=item.name,
        dtype=from_triton_type(item.datatype),
        type_name=item.datatype,
        shape=tuple(item.shape),
        optional=item.name in optional,
    )


def _triton_priority(priority: int, levels: int) -> int:
    """Returns Triton's level, 1 being served first; 0 stands for the model's default level."""
    if not levels:
        return 0
    if priority == PRIORITY_CRITICAL:
        return 1
    return levels if priority in (PRIORITY_SHEDDABLE, PRIORITY_BACKGROUND) else 0


def _outputs(reply: service_pb2.ModelInferResponse) -> dict[str, Array]:
    if len(reply.raw_output_contents) != len(reply.outputs):
        raise ModelOutputInvalid("the model server did not send its outputs as raw contents")
    return {
        output.name: from_raw(output.name, output.datatype, output.shape, data)
        for output, data in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }
