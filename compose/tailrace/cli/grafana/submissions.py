"""The dashboard of submissions: accepted, queued, run, delivered."""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.dashboard import Dashboard, Row
from tailrace.cli.grafana.histogram_panels import percentiles, spread
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.runtime import telemetry_names as names


def submissions() -> Dashboard:
    """Returns the dashboard of submissions."""
    return Dashboard(
        uid="tailrace-submissions",
        title="Tailrace: submissions",
        description="Whether submissions are accepted, how long they wait, how they are run, and "
        "whether their results arrive.",
        rows=(
            Row("At first sight", _first_sight()),
            Row("Accepting", _accepting()),
            Row("Queue", _queue()),
            Row("Running", _running()),
            Row("Delivering", _delivering()),
            Row("Couriers", _couriers()),
        ),
    )


def _first_sight() -> tuple[Panel, ...]:
    waiting = promql.selector(names.QUEUE_SUBMISSIONS, 'state="QUEUED"')
    dead = promql.selector(names.QUEUE_SUBMISSIONS, 'state="DEAD"')
    open_breakers = promql.selector(names.COURIER_BREAKERS, 'state="open"')
    return (
        panel_kinds.tile(
            "Submissions",
            "Submissions answered each second, whatever their outcome.",
            promql.rate(names.SUBMISSIONS_TOTAL),
            unit="reqps",
        ),
        panel_kinds.tile(
            "Waiting to run",
            "Submissions in the queue that no dispatcher has taken.",
            # All dispatchers count the same queue.
            f"sum(max by (partition) ({waiting}))",
            unit="short",
        ),
        panel_kinds.tile(
            "Oldest that waits",
            "How long the oldest of them has waited. It is near zero while dispatchers keep up.",
            f"max({names.QUEUE_OLDEST_SECONDS})",
            unit="s",
            bad_from=(10, 60),
        ),
        panel_kinds.tile(
            "Delivery overdue",
            "How long the delivery that is overdue for longest has been due.",
            f"max({names.QUEUE_DUE_SECONDS})",
            unit="s",
            bad_from=(10, 60),
        ),
        panel_kinds.tile(
            "Dead letters",
            "Results that were given up and are kept to be redriven.",
            f"sum(max by (partition) ({dead}))",
            unit="short",
            bad_from=(1, 100),
        ),
        panel_kinds.tile(
            "Breakers open",
            "Callbacks that are not called because they kept failing, and dispatchers that rest "
            "because the chain answers nothing.",
            # Either may be in none of the processes.
            f"sum({open_breakers} or {names.DISPATCHER_BREAKER_OPEN})",
            unit="short",
            bad_from=(1, 5),
        ),
    )


def _accepting() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "Submissions by outcome",
            "Submissions answered each second: accepted, known already, or refused and why.",
            [
                Query(
                    promql.rate(names.SUBMISSIONS_TOTAL, by=["pipeline", "outcome"]),
                    "{{pipeline}} {{outcome}}",
                )
            ],
            unit="reqps",
        ),
        percentiles(
            "Time until durable",
            "From the receipt of a call until all that it submits is durable and acknowledged.",
            names.SUBMISSION_ACKNOWLEDGE_SECONDS,
        ),
        panel_kinds.lines(
            "Submissions of one write",
            "Mean number of submissions that share a write to the queue. It grows with load.",
            [Query(promql.mean(names.SUBMISSION_GROUP_ROWS), "mean")],
            unit="short",
            width=4,
        ),
        panel_kinds.lines(
            "Watches",
            "Callers that watch for changes of submissions.",
            [Query(promql.total(names.WATCHES, ["service"]), "{{service}}")],
            unit="short",
            width=4,
        ),
    )


def _queue() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "Submissions by state",
            "What the queue holds. Succeeded and failed ones stay until they have been kept for "
            "as long as they are promised to be.",
            [
                Query(
                    f"sum by (state) (max by (partition, state) ({names.QUEUE_SUBMISSIONS}))",
                    "{{state}}",
                )
            ],
            unit="short",
        ),
        panel_kinds.lines(
            "Age of the oldest that waits, by partition",
            "One partition far above the others: its dispatcher is stuck, or one ordering key has "
            "most of the work.",
            [
                Query(
                    f"max by (partition) ({names.QUEUE_OLDEST_SECONDS})", "partition {{partition}}"
                )
            ],
            unit="s",
        ),
        panel_kinds.lines(
            "Results that wait to be delivered, by partition",
            "Pending deliveries, those that wait for their next attempt included.",
            [Query(f"max by (partition) ({names.QUEUE_DELIVERIES})", "partition {{partition}}")],
            unit="short",
        ),
    )


def _running() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "Taken from the queue, and written back",
            "Submissions that dispatchers claimed each second, and results by state. Where they "
            "differ for long, work is repeated or postponed.",
            [
                Query(promql.rate(names.DISPATCHER_CLAIMS_TOTAL), "claimed"),
                Query(promql.rate(names.DISPATCHER_RESULTS_TOTAL, by=["state"]), "{{state}}"),
            ],
            unit="ops",
        ),
        panel_kinds.lines(
            "Given back, by reason",
            "Submissions each second that were not run to an end and go back into the queue; "
            "fenced: another dispatcher has them by now.",
            [
                Query(promql.rate(names.DISPATCHER_POSTPONED_TOTAL, by=["reason"]), "{{reason}}"),
                Query(promql.rate(names.DISPATCHER_FENCED_TOTAL), "fenced"),
            ],
            unit="ops",
        ),
        panel_kinds.lines(
            "Batches in flight",
            "Batches that run, and how many may: the limit follows what the chain can take.",
            [
                Query(promql.total(names.DISPATCHER_BATCHES_IN_FLIGHT), "in flight"),
                Query(promql.total(names.DISPATCHER_BATCHES_LIMIT), "limit"),
            ],
            unit="short",
        ),
        panel_kinds.lines(
            "Submissions of a batch",
            "How many submissions run together, and how many may.",
            [
                Query(promql.mean(names.DISPATCHER_BATCH_ROWS), "mean"),
                Query(promql.quantile(0.95, names.DISPATCHER_BATCH_ROWS), "p95"),
                Query(f"max({names.DISPATCHER_BATCH_ROWS_LIMIT})", "limit"),
            ],
            unit="short",
            width=12,
        ),
        panel_kinds.lines(
            "Dispatchers that rest",
            "1 for a dispatcher whose breaker is open because the chain answers nothing.",
            [Query(names.DISPATCHER_BREAKER_OPEN, "{{instance}}")],
            unit="short",
            width=12,
            most=1.0,
        ),
    )


def _delivering() -> tuple[Panel, ...]:
    return (
        spread(
            "Time until delivered",
            "From the final state of a submission until its receiver has confirmed it, retries "
            "included: the darker, the more.",
            names.COURIER_DELIVERY_SECONDS,
        ),
        percentiles(
            "Time until delivered, percentiles",
            "From the final state of a submission until its receiver has confirmed it, by "
            "pipeline.",
            names.COURIER_DELIVERY_SECONDS,
            by=["pipeline"],
            width=12,
        ),
        panel_kinds.lines(
            "Attempts by result",
            "Attempts at delivering each second, by HTTP or gRPC status or by what went wrong.",
            [Query(promql.rate(names.COURIER_ATTEMPTS_TOTAL, by=["result"]), "{{result}}")],
            unit="ops",
        ),
        panel_kinds.lines(
            "Delivered and given up",
            "Results each second that were delivered, put into the output stream, or given up "
            "(dead letters) and why.",
            [
                Query(promql.rate(names.COURIER_DELIVERED_TOTAL), "delivered"),
                Query(promql.rate(names.COURIER_PUBLISHED_TOTAL), "put into the output stream"),
                Query(promql.rate(names.COURIER_DEAD_TOTAL, by=["reason"]), "dead: {{reason}}"),
            ],
            unit="ops",
        ),
        panel_kinds.lines(
            "Attempts for each delivery",
            "1 where every first attempt succeeds; what is above comes from receivers that fail.",
            [
                Query(
                    promql.share(
                        promql.rate(names.COURIER_ATTEMPTS_TOTAL),
                        promql.rate(names.COURIER_DELIVERED_TOTAL),
                    ),
                    "attempts",
                )
            ],
            unit="short",
        ),
    )


def _couriers() -> tuple[Panel, ...]:
    return (
        percentiles(
            "Duration of a message",
            "Time of one HTTP request or gRPC call to a receiver; it may carry several results.",
            names.COURIER_MESSAGE_SECONDS,
        ),
        panel_kinds.lines(
            "Messages in flight, and results of a message",
            "Calls of receivers under way, and how many results one carries.",
            [
                Query(promql.total(names.COURIER_MESSAGES_IN_FLIGHT), "in flight"),
                Query(promql.mean(names.COURIER_MESSAGE_ROWS), "results of a message"),
            ],
            unit="short",
        ),
        panel_kinds.lines(
            "Callbacks by breaker",
            "Open: not called, as it kept failing. Probing: tried again with single messages.",
            [Query(promql.total(names.COURIER_BREAKERS, ["state"]), "{{state}}")],
            unit="short",
        ),
        panel_kinds.lines(
            "Due for, by partition",
            "How long the oldest delivery of a partition has been due. It is near zero while "
            "couriers keep up; receivers that fail do not count, as their retries are due later.",
            [Query(f"max by (partition) ({names.QUEUE_DUE_SECONDS})", "partition {{partition}}")],
            unit="s",
            width=12,
        ),
        panel_kinds.lines(
            "Not written yet, and fenced",
            "Attempts whose result waits to be written, and those each second that another "
            "courier has taken over.",
            [
                Query(promql.total(names.COURIER_UNWRITTEN), "not written yet"),
                Query(promql.rate(names.COURIER_FENCED_TOTAL), "fenced each second"),
            ],
            unit="short",
            width=12,
        ),
    )
