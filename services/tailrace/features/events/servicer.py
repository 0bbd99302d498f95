"""`tailrace.v1.EventService` over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from tailrace.features.events.event_stream import EventStream
from tailrace.features.events.intake import EventIntake
from tailrace.features.events.room import Room
from tailrace.runtime.config import EventsSettings
from tailrace.runtime.error_mapping import parsed
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.patient_writer import PatientWriter
from tailrace.runtime.tracing.call_trace import call_trace
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.v1 import event_service_pb2, event_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    """Translates between gRPC and the intake."""

    def __init__(
        self, intake: EventIntake, settings: EventsSettings, draining: asyncio.Event
    ) -> None:
        """Keeps the parts.

        Args:
            intake: takes in the batches.
            settings: limits and timeouts.
            draining: set once the process is to end; streams then end, too.
        """
        self._intake = intake
        self._settings = settings
        self._draining = draining
        self._room = Room(settings.events_max_bytes)

    async def IngestEvents(  # type: ignore[override]  # read and written, not iterated
        self, request_iterator: Any, context: Context
    ) -> None:
        """Takes in batches of events as long as they come. Raises TailraceError."""

        async def read() -> event_service_pb2.IngestEventsRequest | None:
            data = await context.read()
            if data is grpc.aio.EOF:
                return None
            message: event_service_pb2.IngestEventsRequest = parsed(
                data, event_service_pb2.IngestEventsRequest.FromString
            )
            return message

        writer = PatientWriter(context.write, self._settings.events_idle_timeout_ms / 1000)
        tracing = process_tracing()
        stream = EventStream(
            self._intake,
            self._room,
            self._settings,
            read,
            writer.write,
            self._draining,
            call_trace(context) if tracing.tells and tracing.follow_callers else None,
        )
        try:
            await stream.run()
        except TailraceError:
            await writer.settle()
            raise
        finally:
            writer.close()
