"""Between JSON documents and fields, by the pipeline's own schema.

JSON has no timestamps, bytes or tensors: RFC 3339 text, base64 text and nested lists stand for
them. 64-bit integers may be numbers or, as in protobuf's JSON, decimal text.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from tailrace.client.errors import InvalidRequest, PredictionError
from tailrace.client.ledger import Ledger, LedgerEntry
from tailrace.client.prediction import Prediction
from tailrace.client.tensor import Tensor
from tailrace.client.values import InputValue, PythonValue
from tailrace.v1 import tensor_pb2
from tailrace.v1.pipeline_pb2 import RequestField

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.(?P<fraction>\d+))?(?:[Zz]|[+-]\d\d:\d\d)"
)

_LEDGER_FIELDS = tuple(field.name for field in fields(Ledger))
_ENTRY_FIELDS = tuple(field.name for field in fields(LedgerEntry))


def fields_from_json(document: object, schema: Iterable[RequestField]) -> dict[str, InputValue]:
    """Returns the fields of one request.

    A name that the schema does not know is passed on as JSON has it, for the server to refuse.

    Args:
        document: a parsed JSON object.
        schema: the fields of the pipeline, as in `PipelineDescription.request_fields`.

    Raises:
        InvalidRequest: not an object, or a value that is not what its field's type asks for.
    """
    if not isinstance(document, Mapping):
        raise InvalidRequest(
            f"found {_shown(document)}, expected a JSON object of fields", reason="INVALID_FIELD"
        )
    by_name = {field.name: field for field in schema}
    return {
        str(name): _from_json(value, by_name.get(str(name)), str(name))
        for name, value in document.items()
    }


def to_json(value: PythonValue) -> Any:
    """Returns what stands for a value in JSON; NaN and infinity become text.

    Raises:
        ValueError: a tensor whose data and shape contradict each other.
    """
    return _to_json(value.tolist() if isinstance(value, Tensor) else value)


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [_to_json(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def prediction_to_json(prediction: Prediction) -> dict[str, Any]:
    """Returns the prediction as a JSON document, ledger included (in milliseconds)."""
    return {
        "request_id": prediction.request_id,
        "values": {name: to_json(value) for name, value in prediction.values.items()},
        "quality": prediction.quality.name,
        "quality_reasons": [
            {"quality": reason.quality.name, "hop": reason.hop, "detail": reason.detail}
            for reason in prediction.quality_reasons
        ],
        "pipeline": prediction.pipeline,
        "pipeline_version": prediction.pipeline_version,
        "model": {"name": prediction.model_name, "version": prediction.model_version},
        "ledger": _ledger_to_json(prediction.ledger),
    }


def _ledger_to_json(ledger: Ledger) -> dict[str, Any]:
    # Not `dataclasses.asdict`, which copies every number as if it were a tree.
    document: dict[str, Any] = {name: getattr(ledger, name) for name in _LEDGER_FIELDS}
    entries = [{name: getattr(entry, name) for name in _ENTRY_FIELDS} for entry in ledger.entries]
    for entry in entries:
        entry["code"] = entry["code"].name
    return {**document, "entries": entries}


def error_to_json(error: PredictionError) -> dict[str, Any]:
    """Returns the error as a JSON document."""
    document = {
        "code": error.code.name,
        "reason": error.reason,
        "field": error.field,
        "message": error.message,
        "request_id": error.request_id,
        "trace_id": error.trace_id,
        "retry_after_s": error.retry_after_s,
    }
    if error.idempotency_key is not None:
        document["idempotency_key"] = error.idempotency_key
    return document


def _from_json(value: Any, field: RequestField | None, name: str) -> InputValue:
    if value is None:
        return None
    parse = _PARSERS.get(field.type, _natural) if field is not None else _natural
    if field is not None and field.max_items:
        return _list_from_json(value, field, parse)
    try:
        return parse(value, field)
    except ValueError as error:
        raise InvalidRequest(
            f"found {_shown(value)}, expected {error}",
            reason="INVALID_FIELD",
            field=f"fields.{name}",
        ) from error


def _list_from_json(
    value: Any, field: RequestField, parse: Callable[[Any, RequestField | None], InputValue]
) -> InputValue:
    # How many there are is the server's to judge.
    path = f"fields.{field.name}"
    if not isinstance(value, list):
        found = f"found {_shown(value)}, expected a list of {field.type}"
        raise InvalidRequest(found, reason="INVALID_FIELD", field=path)
    items = []
    for place, item in enumerate(value):
        try:
            items.append(parse(item, field))
        except ValueError as error:
            found = f"found {_shown(item)}, expected {error}"
            raise InvalidRequest(found, reason="INVALID_FIELD", field=f"{path}[{place}]") from error
    try:
        return Tensor.of(items, field.type)
    except ValueError as error:
        raise InvalidRequest(str(error), reason="INVALID_FIELD", field=path) from error


def _natural(value: Any, field: RequestField | None) -> InputValue:
    if isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError("text, a number, true or false; the pipeline knows no such field")


def _string(value: Any, field: RequestField | None) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _int64(value: Any, field: RequestField | None) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value):
        return int(value)
    raise ValueError("an integer")


def _double(value: Any, field: RequestField | None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("a number that a double can hold") from error
    if number != value:
        raise ValueError("a number that a double can hold without loss")
    return number


def _bool(value: Any, field: RequestField | None) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _timestamp(value: Any, field: RequestField | None) -> datetime:
    example = "an RFC 3339 instant with its offset, such as 2013-09-01T05:15:00-04:00"
    match = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(example)
    if (match["fraction"] or "")[6:].strip("0"):
        raise ValueError("an instant of whole microseconds")
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise ValueError(example) from error


def _bytes(value: Any, field: RequestField | None) -> bytes:
    if not isinstance(value, str):
        raise ValueError("base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ValueError("base64 text") from error


def _tensor(value: Any, field: RequestField | None) -> Tensor:
    dtype = tensor_pb2.DataType.Name(field.dtype) if field is not None else ""
    shape = list(field.shape) if field is not None else []
    dtype = dtype.removeprefix("DATA_TYPE_").lower()
    if dtype.startswith("timestamp"):
        value = _instants(value)
    try:
        tensor = Tensor.of(value, dtype)
    except ValueError as error:
        raise ValueError(f"nested lists of {dtype} and shape {shape}: {error}") from error
    if len(shape) != len(tensor.shape) or any(
        size not in (-1, found) for size, found in zip(shape, tensor.shape, strict=True)
    ):
        raise ValueError(f"shape {shape}, not {list(tensor.shape)}")
    return tensor


def _instants(value: Any) -> Any:
    if isinstance(value, list):
        return [_instants(element) for element in value]
    return _timestamp(value, None)


_PARSERS: dict[str, Callable[[Any, RequestField | None], InputValue]] = {
    "string": _string,
    "int64": _int64,
    "double": _double,
    "bool": _bool,
    "timestamp": _timestamp,
    "bytes": _bytes,
    "tensor": _tensor,
}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
