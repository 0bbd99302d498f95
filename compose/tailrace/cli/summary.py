"""What a run came to: for people on a terminal, for programs as JSON."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from tailrace.cli.columns import print_columns
from tailrace.cli.local.ports import LOOPBACK
from tailrace.cli.local.state import MeshState, ProcessState
from tailrace.cli.preparation import PreparedExample
from tailrace.cli.push_trial import PushTrial
from tailrace.cli.queue_server import QUEUE_REDIS
from tailrace.cli.trial import tell_failures
from tailrace.cli.trial_result import Outcome, Replayed, Trial
from tailrace.cli.waterfall import render_waterfall
from tailrace.client import PythonValue

# What a summary says of a mesh that was not tried: no figure that would need a prediction.
_UNTRIED: dict[str, Any] = {
    "pipeline": None,
    "pipeline_version": None,
    "model": None,
    "model_version": None,
    "predictions": 0,
    "auc": None,
    "base_rate": None,
    "offline_difference": None,
    "replay": None,
    "p50_ms": None,
    "p99_ms": None,
    "latency_predictions": 0,
    "failures": {},
    "hop_p50_ms": {},
    "unattributed_share_p50": None,
    "qualities": {},
    "trial_s": None,
}


def run_summary(
    state: MeshState,
    prepared: PreparedExample,
    trial: Trial | None,
    pushes: Sequence[PushTrial],
    ready_s: float,
    figures: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the summary of a run, ready to be written as JSON.

    Args:
        state: the mesh.
        prepared: the example.
        trial: what came of trying it, if the example has rows to try it with.
        pushes: what came of submissions, if it takes any and the example has rows to try.
        ready_s: seconds from the start of the command until every process could serve.
        figures: what else is known of the pipeline, by name.
    """
    return {
        "mesh": state.mesh,
        "pipelines": list(state.pipelines),
        **(_trial_summary(trial) if trial else _UNTRIED),
        "figures": dict(figures),
        "pushes": {push.kind: _push_summary(push) for push in pushes},
        "redis_version": state.redis.version,
        "triton_version": state.tritons[0].version if state.tritons else None,
        "inference_backend": "triton" if state.tritons else "onnxruntime",
        "tailrace_version": importlib.metadata.version("tailrace"),
        "python_version": platform.python_version(),
        "prepared_now": not prepared.cached,
        "prepare_s": prepared.seconds,
        "ready_s": ready_s,
        "endpoints": {
            process.name: {"address": _address(process, state), "metrics": _metrics_url(process)}
            for process in state.processes
        },
    }


def print_outcomes(console: Console, outcomes: Sequence[Outcome], label: str) -> None:
    """Prints each outcome: the request, the answer, what really came of it, the waterfall."""
    for outcome in outcomes:
        fields = ", ".join(f"{name} {value}" for name, value in outcome.row.fields.items())
        values = ", ".join(
            f"{name} [bold]{_readable(value)}[/]"
            for name, value in sorted(outcome.prediction.values.items())
        )
        truth = f"in truth {'' if outcome.row.positive else 'not '}{label}"
        console.print()
        console.print(f"[dim]{fields}[/]", highlight=False, soft_wrap=True)
        console.print(
            f"{values}  ({truth}), {outcome.prediction.quality.name}, "
            f"{outcome.latency_ms:.1f} ms for the caller",
            highlight=False,
            soft_wrap=True,
        )
        for reason in outcome.prediction.quality_reasons:
            console.print(f"  {reason.hop}: {reason.detail}", highlight=False, soft_wrap=True)
        for line in render_waterfall(outcome.prediction.ledger):
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def print_trial(console: Console, trial: Trial, figures: Mapping[str, str]) -> None:
    """Prints how well and how fast the mesh predicts.

    Args:
        console: where to.
        trial: what came of trying it.
        figures: what else is known of the pipeline, by name.
    """
    qualities = ", ".join(f"{count} {name}" for name, count in trial.qualities.items())
    lines = [
        f"{len(trial.outcomes)} predictions in {trial.seconds:.1f} s: {qualities}",
        f"AUC [bold]{trial.auc:.4f}[/] (base rate {trial.base_rate:.3f})",
        *_replay_lines(trial),
        *(f"{name}: [bold]{escape(figure)}[/]" for name, figure in figures.items()),
        f"p50 [bold]{trial.latency_ms(50):.2f} ms[/], p99 [bold]{trial.latency_ms(99):.2f} ms[/] "
        f"for one caller at a time ({len(trial.measured)} predictions)",
        f"unattributed time, median: {trial.unattributed_share:.1%} of a prediction",
    ]
    if trial.failures:
        lines.append(f"[red]failed[/]: {tell_failures(trial.failures)}")
    console.print()
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _replay_lines(trial: Trial) -> Iterator[str]:
    replayed = trial.replayed
    if replayed is not None:
        first, last = (f"{each:%Y-%m-%d %H:%M}" for each in (replayed.first, replayed.last))
        yield f"asked in order of time, {first} to {last} UTC, as events became known"
        yield (
            f"{replayed.events:,} events replayed, {replayed.events_before:,} of them before the "
            f"first row, at [bold]{replayed.events_per_s:,.0f}[/] events/s"
        )
    if trial.offline_difference is not None:
        yield f"largest difference from offline: [bold]{trial.offline_difference:.1g}[/]"


def print_pushes(console: Console, pushes: Sequence[PushTrial]) -> None:
    """Prints how long results took from submission to receiver, and where that time went."""
    console.print()
    for push in pushes:
        kind = {"webhook": "a webhook", "grpc": "a gRPC receiver"}[push.kind]
        console.print(
            f"submitted and pushed to {kind}: [bold]{push.received_ms:.1f} ms[/] until received "
            f"(durable after {push.submit_ms:.1f} ms; queue {push.stored.queue_ms or 0:.0f}, "
            f"run {push.stored.run_ms or 0:.0f}, delivery {push.delivery_ms:.0f} ms)",
            highlight=False,
            soft_wrap=True,
        )


def print_endpoints(console: Console, state: MeshState) -> None:
    """Prints where everything of the mesh is reached."""
    rows = [("process", "address", "metrics", "pid", "log")]
    for process in state.processes:
        address, metrics = _address(process, state), _metrics_url(process) or ""
        rows.append((process.name, address, metrics, str(process.pid), str(process.log_path)))
    console.print()
    print_columns(console, rows)


def _trial_summary(trial: Trial) -> dict[str, Any]:
    first = trial.outcomes[0].prediction
    return {
        "pipeline": first.pipeline,
        "pipeline_version": first.pipeline_version,
        "model": first.model_name,
        "model_version": first.model_version,
        "predictions": len(trial.outcomes),
        "auc": None if math.isnan(trial.auc) else trial.auc,
        "base_rate": trial.base_rate,
        "offline_difference": trial.offline_difference,
        "replay": _replay_summary(trial.replayed) if trial.replayed else None,
        "p50_ms": trial.latency_ms(50),
        "p99_ms": trial.latency_ms(99),
        "latency_predictions": len(trial.measured),
        "failures": dict(trial.failures),
        "hop_p50_ms": trial.hop_ms(),
        "unattributed_share_p50": trial.unattributed_share,
        "qualities": trial.qualities,
        "trial_s": trial.seconds,
    }


def _replay_summary(replayed: Replayed) -> dict[str, Any]:
    return {
        "events": replayed.events,
        "events_before": replayed.events_before,
        "events_per_s": replayed.events_per_s,
        "first": replayed.first.isoformat(),
        "last": replayed.last.isoformat(),
    }


def _push_summary(push: PushTrial) -> dict[str, Any]:
    return {
        "received_ms": push.received_ms,
        "submit_ms": push.submit_ms,
        "queue_ms": push.stored.queue_ms,
        "run_ms": push.stored.run_ms,
        "delivery_ms": push.delivery_ms,
    }


def _readable(value: PythonValue) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _address(process: ProcessState, state: MeshState) -> str:
    if process.grpc_port:
        return f"{LOOPBACK}:{process.grpc_port}"
    if process.name == QUEUE_REDIS and state.queue_redis is not None:
        return state.queue_redis.url
    return state.redis.url


def _metrics_url(process: ProcessState) -> str | None:
    port = process.metrics_port
    return f"http://{LOOPBACK}:{port}/metrics" if port else None
