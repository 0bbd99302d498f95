"""Bounds and times of the queue, as the scripts take them."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.runtime.config import DispatcherSettings, GatewaySettings, QueueSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Times are in ms.

    Attributes:
        queued_share: most submissions that wait in one partition.
        run_lease: how long a claim lasts.
        most_crashes: how many lost leases make a submission poison.
        output_stream_max: about how many entries the output stream keeps.
    """

    queued_share: int
    submission_ttl: int
    result_ttl: int
    dead_letter_ttl: int
    changes_ttl: int
    run_lease: int
    most_crashes: int
    output_stream_max: int

    @classmethod
    def of(cls, settings: QueueSettings) -> QueueLimits:
        """Returns those of a process; what its settings lack is as it is by default."""
        gateway, dispatcher = GatewaySettings.model_fields, DispatcherSettings.model_fields
        most_queued = getattr(
            settings, "max_queued_submissions", gateway["max_queued_submissions"].default
        )
        lease = getattr(settings, "dispatcher_lease_ms", dispatcher["dispatcher_lease_ms"].default)
        most_crashes = getattr(
            settings, "dispatcher_max_attempts", dispatcher["dispatcher_max_attempts"].default
        )
        return cls(
            queued_share=-(-most_queued // settings.queue_partitions),
            submission_ttl=settings.submission_ttl_s * 1000,
            result_ttl=settings.result_ttl_s * 1000,
            dead_letter_ttl=settings.dead_letter_ttl_s * 1000,
            changes_ttl=settings.changes_ttl_s * 1000,
            run_lease=lease,
            most_crashes=most_crashes,
            output_stream_max=settings.output_stream_max,
        )
