"""The Open Inference Protocol: a pipeline called as if it were a model.

The messages and stubs are tritonclient's: a second copy of the same proto would clash with
them in one process. Protocol: KServe's `inference.GRPCInferenceService`, version 2, and of
Triton's additions those that clients use to list models: RepositoryIndex and ModelConfig.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

import grpc.aio
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from tailrace.gateway.open_inference_inputs import requests_from_inputs
from tailrace.gateway.open_inference_outputs import outcomes_to_outputs
from tailrace.gateway.open_inference_tensors import OipTensor, tensor_metadata
from tailrace.gateway.prediction_servicer import trace_headers
from tailrace.gateway.predictor import Predictor
from tailrace.runtime.errors import RemoteFailure, TailraceError
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.v1 import prediction_service_pb2

Context = grpc.aio.ServicerContext[Any, Any]
PLATFORM = "tailrace_pipeline"
TENANT_HEADER = "tailrace-tenant"


class OpenInferenceServicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Serves every pipeline as a model; its declared version is the model's version.

    Request fields are inputs of shape [rows] ([rows, ...] for tensors), prediction fields are
    outputs. A timestamp is INT64 microseconds since 1970-01-01T00:00:00Z. There are no errors
    per row in this protocol: the first row that fails fails the call.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Keeps the predictor."""
        self._predictor = predictor

    async def ServerLive(self, request: Any, context: Context) -> Any:
        """Says that the process lives."""
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Context) -> Any:
        """Says whether any pipeline is being served."""
        return service_pb2.ServerReadyResponse(ready=bool(self._predictor.registry.pipelines()))

    async def ModelReady(self, request: Any, context: Context) -> Any:
        """Says whether a pipeline is being served."""
        try:
            self._pipeline(request.name, request.version)
        except TailraceError:
            return service_pb2.ModelReadyResponse(ready=False)
        return service_pb2.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: Context) -> Any:
        """Names the server and the extensions it has."""
        return service_pb2.ServerMetadataResponse(
            name="tailrace",
            version=metadata.version("tailrace"),
            extensions=["model_repository", "model_configuration"],
        )

    async def ModelMetadata(self, request: Any, context: Context) -> Any:
        """Describes a pipeline. Raises NotFound."""
        pipeline = self._pipeline(request.name, request.version)
        inputs, outputs = tensor_metadata(pipeline)
        return service_pb2.ModelMetadataResponse(
            name=pipeline.name,
            versions=[pipeline.spec.version],
            platform=PLATFORM,
            inputs=[_metadata(tensor) for tensor in inputs],
            outputs=[_metadata(tensor) for tensor in outputs],
        )

    async def ModelConfig(self, request: Any, context: Context) -> Any:
        """Describes a pipeline as Triton's configuration would. Raises NotFound."""
        pipeline = self._pipeline(request.name, request.version)
        inputs, outputs = tensor_metadata(pipeline)
        return service_pb2.ModelConfigResponse(
            config=model_config_pb2.ModelConfig(
                name=pipeline.name,
                platform=PLATFORM,
                max_batch_size=self._predictor.max_batch_rows,
                input=[
                    model_config_pb2.ModelInput(
                        name=tensor.name, data_type=tensor.config_type, dims=tensor.row_shape
                    )
                    for tensor in inputs
                ],
                output=[
                    model_config_pb2.ModelOutput(
                        name=tensor.name, data_type=tensor.config_type, dims=tensor.row_shape
                    )
                    for tensor in outputs
                ],
            )
        )

    async def RepositoryIndex(self, request: Any, context: Context) -> Any:
        """Lists the pipelines; with `ready`, only those without a load error."""
        registry = self._predictor.registry
        index = service_pb2.RepositoryIndexResponse()
        for pipeline in registry.pipelines():
            error = registry.errors.get(pipeline.file)
            index.models.add(
                name=pipeline.name,
                version=pipeline.spec.version,
                state="READY",
                reason=str(error) if error else "",
            )
        return index

    async def ModelInfer(self, request: Any, context: Context) -> Any:
        """Makes one prediction per row. Raises TailraceError, naming the input or row."""
        try:
            return await self._infer(request, context)
        except TailraceError as error:
            # Clients of this protocol show the message and nothing else.
            if error.field and error.field not in error.message:
                raise _restated(error, f"{error.field}: {error.message}") from error
            raise

    async def _infer(self, request: Any, context: Context) -> Any:
        pipeline = self._pipeline(request.model_name, request.model_version)
        fields = requests_from_inputs(pipeline, request, self._predictor.max_batch_rows)
        base_id = request.id
        requests = [
            prediction_service_pb2.PredictRequest(
                pipeline=pipeline.name,
                pipeline_version=pipeline.version,
                request_id=f"{base_id}-{row}" if base_id and len(fields) > 1 else base_id,
                fields=row_fields,
                tenant=_tenant(context),
            )
            for row, row_fields in enumerate(fields)
        ]
        outcomes = await self._predictor.predict(
            requests, context.time_remaining(), trace_headers(context)
        )
        responses = []
        for row, outcome in enumerate(outcomes):
            if isinstance(outcome, TailraceError):
                if len(outcomes) > 1:
                    raise _restated(outcome, f"row {row}: {outcome.message}")
                raise outcome
            responses.append(outcome)
        response = service_pb2.ModelInferResponse(
            model_name=pipeline.name, model_version=pipeline.spec.version, id=base_id
        )
        names = [output.name for output in request.outputs]
        outcomes_to_outputs(pipeline, responses, names, response)
        worst = max(item.quality for item in responses)
        response.parameters["quality"].string_param = prediction_service_pb2.Quality.Name(worst)
        response.parameters["pipeline_version"].string_param = pipeline.version
        return response

    def _pipeline(self, name: str, version: str) -> Pipeline:
        return self._predictor.registry.find(name, version).chain.pipeline


def add_open_inference(predictor: Predictor, server: grpc.aio.Server) -> None:
    """Registers the protocol with a server."""
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
        OpenInferenceServicer(predictor), server
    )


def _restated(error: TailraceError, message: str) -> TailraceError:
    """Returns an error in other words; the error itself may be that of other callers, too."""
    return RemoteFailure(
        error.code,
        message,
        field=error.field,
        reason=error.reason,
        retry_after_ms=error.retry_after_ms,
    ).of_trace(error.trace_id)


def _metadata(tensor: OipTensor) -> Any:
    return service_pb2.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=[-1, *tensor.row_shape]
    )


def _tenant(context: Context) -> str:
    # This protocol has no field for it.
    for key, value in context.invocation_metadata() or ():
        if key == TENANT_HEADER and isinstance(value, str):
            return value
    return ""
