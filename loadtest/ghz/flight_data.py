"""Makes the data of these scripts anew from the prepared example.

python loadtest/ghz/flight_data.py .tailrace/prepared/current

Flights of the day after those that `tailrace up examples/flights` replays: of earlier ones, the
mesh no longer keeps windowed features.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

_AFTER = datetime(2013, 12, 5, 5, tzinfo=UTC)
_FLIGHTS = 64
_BATCH = 32
# Requests a message, of four messages.
_STREAMED = 16
_TEXT_FIELDS = ("carrier", "tailnum", "origin", "dest")
_INSTANTS = ("scheduled_departure", "scheduled_arrival")


def predict_request(flight: dict[str, Any]) -> dict[str, Any]:
    """Returns a PredictRequest in protobuf's JSON form."""
    fields: dict[str, Any] = {name: {"stringValue": flight[name]} for name in _TEXT_FIELDS}
    fields["flight_number"] = {"int64Value": str(flight["flight_number"])}
    fields |= {
        name: {"timestampValue": flight[name].strftime("%Y-%m-%dT%H:%M:%SZ")} for name in _INSTANTS
    }
    fields["distance"] = {"doubleValue": flight["distance"]}
    return {"pipeline": "flight-delay", "fields": fields}


def read_flights(prepared: Path) -> list[dict[str, Any]]:
    """Returns flights as rows, in order of time."""
    table = pq.read_table(prepared / "held_out.parquet")
    later = table.filter(pc.field("scheduled_departure") >= _AFTER)
    rows: list[dict[str, Any]] = later.sort_by("scheduled_departure").to_pylist()
    return rows[:_FLIGHTS]


def main(arguments: Sequence[str]) -> None:
    """Writes the files beside this one."""
    (prepared,) = arguments
    requests = [predict_request(flight) for flight in read_flights(Path(prepared))]
    submission = {"idempotencyKey": "{{.UUID}}", "request": requests[0]}
    documents = {
        "flights.json": requests,
        "flight_batch.json": {"requests": requests[:_BATCH]},
        "flight_stream.json": [
            {"requests": requests[first : first + _STREAMED]}
            for first in range(0, _FLIGHTS, _STREAMED)
        ],
        "flight_submission.json": {"submission": submission},
    }
    for name, document in documents.items():
        path = Path(__file__).with_name(name)
        path.write_text(_lines(document) + "\n")


def _lines(document: Any) -> str:
    # An element a line, which is what ghz and people can read.
    if isinstance(document, list):
        return "[\n" + ",\n".join(json.dumps(each) for each in document) + "\n]"
    return json.dumps(document, indent=1)


if __name__ == "__main__":
    main(sys.argv[1:])
