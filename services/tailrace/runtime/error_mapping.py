"""The one place where errors become gRPC statuses, and statuses become errors again."""

from __future__ import annotations

import asyncio
import functools
import inspect
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.call_count import CallCount
from tailrace.runtime.errors import (
    Code,
    Internal,
    InvalidField,
    Reason,
    RemoteFailure,
    TailraceError,
    Unimplemented,
)
from tailrace.runtime.tracing.method_spans import method_spans

DOMAIN = "tailrace"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
# In the metadata of ErrorInfo: under which the request's log lines and spans are found.
TRACE_ID_KEY = "trace_id"
# Bytes as UTF-8. A status travels in headers, message and field twice and escaped, of which most
# clients refuse more than 8 KiB.
MAX_MESSAGE = 1_024
MAX_FIELD = 256

_log = structlog.get_logger(__name__)
_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


def status_of(error: TailraceError) -> status_pb2.Status:
    """Returns the error as a `google.rpc.Status` with ErrorInfo, and the field if it has one."""
    message, field = _cut(error.message, MAX_MESSAGE), _cut(error.field, MAX_FIELD)
    status = status_pb2.Status(code=int(error.code), message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason.name, domain=DOMAIN)
    if field:
        info.metadata["field"] = field
    if error.trace_id:
        info.metadata[TRACE_ID_KEY] = error.trace_id
    _pack(status, info)
    if field and error.code is Code.INVALID_ARGUMENT:
        bad_request = error_details_pb2.BadRequest()
        bad_request.field_violations.add(field=field, description=message)
        _pack(status, bad_request)
    if error.retry_after_ms is not None:
        delay = Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def error_of(failure: grpc.aio.AioRpcError) -> TailraceError:
    """Returns the error that another of our services sent, from its status details."""
    code = Code(failure.code().value[0])
    error = RemoteFailure(code, failure.details() or code.name)
    for key, value in failure.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY:
            _read_details(value if isinstance(value, bytes) else value.encode(), error)
    return error


def unexpected(error: Exception) -> Internal:
    """Logs an unexpected exception and returns what the caller may see: an opaque id."""
    error_id = uuid.uuid4().hex
    _log.error("unexpected error", **{names.ERROR_ID: error_id}, exc_info=error)
    return Internal(f"internal error {error_id}")


def _cut(text: str, longest: int) -> str:
    # A character is a byte at least: what is past `longest` characters need not be encoded.
    return text[:longest].encode(errors="replace")[:longest].decode(errors="ignore")


def _read_details(data: bytes, error: RemoteFailure) -> None:
    status = status_pb2.Status()
    try:
        status.ParseFromString(data)
    except DecodeError:
        return
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            error.reason = Reason.__members__.get(info.reason, Reason.UNSPECIFIED)
            error.field = info.metadata.get("field", "")
        elif detail.Unpack(retry):
            error.retry_after_ms = retry.retry_delay.ToMilliseconds()


def _pack(status: status_pb2.Status, message: Any) -> None:
    detail = AnyMessage()
    detail.Pack(message)
    status.details.append(detail)


def error_status(error: TailraceError) -> tuple[int, str, tuple[tuple[str, str | bytes], ...]]:
    """Returns the error as a gRPC status: code, message and trailing metadata."""
    metadata: list[tuple[str, str | bytes]] = [
        (STATUS_DETAILS_KEY, status_of(error).SerializeToString())
    ]
    if error.retry_after_ms is not None:
        metadata.append((PUSHBACK_KEY, str(error.retry_after_ms)))
    # A status message travels as one header line.
    message = " ".join(_cut(error.message, MAX_MESSAGE).split())
    return int(error.code), message, tuple(metadata)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: TailraceError) -> NoReturn:
    code, message, metadata = error_status(error)
    await context.abort(_STATUS_CODES[code], message, metadata)


Handler = Callable[[Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[Any]]
MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# Begins to serve a request, of which it gets the bytes and the call (`unary_call.DirectCall`).
Begin = Callable[[bytes, Any], None]
BegunBy = TypeVar("BegunBy", bound=Callable[..., Any])


def also_begun_by(begin: Callable[[Any, bytes, Any], None]) -> Callable[[BegunBy], BegunBy]:
    """Marks a unary method of a servicer for which `begin` does the same without a task.

    The method itself serves where calls cannot be driven by `unary_call.py`.

    Args:
        begin: takes the servicer, the request's bytes, and the `DirectCall` to answer or to fail.
    """

    def mark(method: BegunBy) -> BegunBy:
        method.begun_by = begin  # type: ignore[attr-defined]  # functions take attributes
        return method

    return mark


class MappingServer:
    """Stands before a gRPC server where servicers are registered.

    What their handlers raise becomes a status, and their calls are counted and timed. Of the
    streaming ones this holds for those that read and write through their context, without an
    iterator; they get messages as bytes, for `parsed`. The handlers are wrapped once, here: an
    interceptor of gRPC's is asked anew for every call.

    Attributes:
        unary: the unary handlers that were registered, wrapped, by full name of the method.
        begins: what begins to serve a request of a method, and counts its calls, where the method
            is marked by `also_begun_by`.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        """Keeps the server."""
        self._server = server
        self.unary: dict[str, MethodHandler] = {}
        self.begins: dict[str, tuple[Begin, CallCount]] = {}

    def in_its_place(self) -> grpc.aio.Server:
        """Returns this as what generated code registers servicers with."""
        return cast(grpc.aio.Server, self)

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Registers handlers, wrapped."""
        self._server.add_generic_rpc_handlers(tuple(map(_MappedHandlers, handlers)))

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, MethodHandler]
    ) -> None:
        """Registers the handlers of a service by method name, wrapped."""
        wrapped = {
            method: _wrap(f"{service_name}/{method}", handler)
            for method, handler in method_handlers.items()
        }
        self._server.add_registered_method_handlers(service_name, wrapped)
        self.unary |= {
            f"/{service_name}/{method}": handler
            for method, handler in wrapped.items()
            if handler.unary_unary is not None
        }
        for method, handler in method_handlers.items():
            begin = getattr(handler.unary_unary, "begun_by", None)
            if begin is not None:
                name = f"{service_name}/{method}"
                bound = functools.partial(begin, cast(Any, handler.unary_unary).__self__)
                self.begins[f"/{name}"] = (bound, CallCount(name))


class _MappedHandlers(grpc.GenericRpcHandler):
    def __init__(self, handlers: grpc.GenericRpcHandler) -> None:
        self._handlers = handlers
        self._wrapped: dict[str, MethodHandler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> MethodHandler | None:
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = self._handlers.service(handler_call_details)
            if handler is None:
                # Not remembered: callers choose the names of methods that do not exist.
                return None
            wrapped = self._wrapped[method] = _wrap(method.lstrip("/"), handler)
        return wrapped


def _streams_by_context(handler: MethodHandler) -> bool:
    return handler.stream_stream is not None and inspect.iscoroutinefunction(handler.stream_stream)


def _tells_by_context(handler: MethodHandler) -> bool:
    return handler.unary_stream is not None and inspect.iscoroutinefunction(handler.unary_stream)


def _wrap(method: str, handler: MethodHandler) -> MethodHandler:
    if handler.unary_unary is None:
        if _tells_by_context(handler):
            return grpc.unary_stream_rpc_method_handler(
                _mapped(method, cast(Handler, handler.unary_stream), handler.request_deserializer),
                None,
                handler.response_serializer,
            )
        if not _streams_by_context(handler):
            return handler
        return grpc.stream_stream_rpc_method_handler(
            _mapped(method, cast(Handler, handler.stream_stream), None),
            None,
            handler.response_serializer,
        )
    call = cast(Handler, handler.unary_unary)
    # Parsed in `_mapped`: left to gRPC, bytes that are no message end in UNKNOWN, with a
    # traceback on standard error for each.
    return grpc.unary_unary_rpc_method_handler(
        _mapped(method, call, handler.request_deserializer),
        None,
        handler.response_serializer,
    )


def _mapped(method: str, call: Handler, parse: Callable[[bytes], Any] | None) -> Handler:
    count = CallCount(method)
    spans = method_spans(method)

    async def mapped(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        began = count.began()
        code = Code.OK
        failure: TailraceError | None = None
        place = None if spans is None else spans.begin(context.invocation_metadata())
        try:
            return await call(parsed(data, parse), context)
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        except TailraceError as error:
            code = error.code
            failure = error
        except grpc.aio.AbortError:
            code = Code(_code_number(context.code()))
            raise
        except NotImplementedError as error:
            # What a generated servicer says of a method that nobody wrote.
            failure = (
                Unimplemented(f"this server has no {method}")
                if _code_number(context.code()) == Code.UNIMPLEMENTED
                else unexpected(error)
            )
            code = failure.code
        except Exception as error:  # the edge: whatever is left is INTERNAL with an opaque id
            failure = unexpected(error)
            code = failure.code
        finally:
            count.ended(code, began)
            if spans is not None and place is not None:
                spans.end(place, began, code, failure)
        await _abort(context, failure if place is None else failure.of_trace(place.trace_id))

    return mapped


def parsed(data: bytes, parse: Callable[[bytes], Any] | None) -> Any:
    """Returns a message from its bytes; as they are where nothing parses. Raises InvalidField."""
    if parse is None:
        return data
    try:
        return parse(data)
    except DecodeError as error:
        raise InvalidField("the request cannot be read as its message type") from error


def _code_number(code: Any) -> int:
    number = code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0)
    return number if number in Code._value2member_map_ else Code.UNKNOWN
