"""The dashboard of the model server, from Triton's own metrics and from our side of its calls.

Source of the names: https://github.com/triton-inference-server/server/blob/main/docs/user_guide/metrics.md
"""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.dashboard import Dashboard, Row, query_variable
from tailrace.cli.grafana.histogram_panels import percentiles
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.runtime import telemetry_names as names

_MODEL = 'model=~"$model"'
_BY = ("model", "version")
_LEGEND = "{{model}} {{version}}"
_US = 1e-6
_ANSWERED = "nv_inference_request_success"
_STAGES = (
    ("queue", "nv_inference_queue_duration_us"),
    ("input", "nv_inference_compute_input_duration_us"),
    ("inference", "nv_inference_compute_infer_duration_us"),
    ("output", "nv_inference_compute_output_duration_us"),
)


def triton() -> Dashboard:
    """Returns the dashboard of the model server."""
    return Dashboard(
        uid="tailrace-triton",
        title="Tailrace: Triton",
        description="What the model server does with the calls of the inference service.",
        rows=(
            Row("Requests", _requests()),
            Row("Where the time goes", _time()),
            Row("As the inference service sees it", _calls()),
            Row("GPU and memory", _devices()),
        ),
        variables=(query_variable("model", "Model", _ANSWERED),),
    )


def _requests() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "Requests by model",
            "Inference requests each second that succeeded. One request carries a whole convoy.",
            [Query(promql.rate(_ANSWERED, _MODEL, _BY), _LEGEND)],
            unit="reqps",
            width=6,
        ),
        panel_kinds.lines(
            "Failures by model",
            "Inference requests each second that failed, by reason where this Triton tells it.",
            [
                Query(
                    promql.rate("nv_inference_request_failure", _MODEL, (*_BY, "reason")),
                    f"{_LEGEND} {{{{reason}}}}",
                )
            ],
            unit="reqps",
            width=6,
        ),
        panel_kinds.lines(
            "Rows of an execution",
            "Rows that the model computes at once: the rows of a request, and of several where "
            "Triton batches them. Larger is cheaper for each row.",
            [
                Query(
                    promql.share(
                        promql.rate("nv_inference_count", _MODEL, _BY),
                        promql.rate("nv_inference_exec_count", _MODEL, _BY),
                    ),
                    _LEGEND,
                )
            ],
            unit="short",
            width=6,
        ),
        panel_kinds.lines(
            "Requests that wait",
            "Requests in Triton's queue. If it grows without end, the model is too slow for the "
            "rate, or has too few instances.",
            [
                Query(
                    promql.total(
                        promql.selector("nv_inference_pending_request_count", _MODEL), _BY
                    ),
                    _LEGEND,
                )
            ],
            unit="short",
            width=6,
        ),
    )


def _time() -> tuple[Panel, ...]:
    requests = promql.rate(_ANSWERED, _MODEL, _BY)
    return (
        panel_kinds.lines(
            "Mean time of a request, by stage",
            "Waiting in Triton's queue, copying inputs, computing, copying outputs. The stages add "
            "up; a queue that widens asks for more instances or larger batches.",
            [
                Query(
                    promql.share(f"{promql.rate(metric, _MODEL, _BY)} * {_US}", requests),
                    f"{_LEGEND} {stage}",
                )
                for stage, metric in _STAGES
            ],
            unit="s",
            width=12,
            stacked=True,
        ),
        panel_kinds.lines(
            "Mean time of a request",
            "From receipt to answer inside Triton.",
            [
                Query(
                    promql.share(
                        f"{promql.rate('nv_inference_request_duration_us', _MODEL, _BY)} * {_US}",
                        requests,
                    ),
                    _LEGEND,
                )
            ],
            unit="s",
            width=12,
        ),
    )


def _calls() -> tuple[Panel, ...]:
    return (
        percentiles(
            "Duration of model calls",
            "Time of a call as the inference service waits for it, transport included. What it has "
            "above Triton's own time is spent between the two.",
            names.MODEL_CALL_SECONDS,
            _MODEL,
            by=["model"],
        ),
        panel_kinds.lines(
            "Model calls by code",
            "Calls each second by gRPC status.",
            [
                Query(
                    promql.rate(f"{names.MODEL_CALL_SECONDS}_count", _MODEL, ["model", "code"]),
                    "{{model}} {{code}}",
                )
            ],
            unit="cps",
        ),
        panel_kinds.lines(
            "Models that are ready",
            "1 where a wanted version of the model is ready, by process of the inference service.",
            [Query(promql.selector(names.MODEL_READY, _MODEL), "{{model}} {{instance}}")],
            unit="short",
            most=1.0,
        ),
    )


def _devices() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "GPU utilisation",
            "Share of the time in which the GPU computes.",
            [Query("nv_gpu_utilization", "{{gpu_uuid}}")],
            unit="percentunit",
            most=1.0,
        ),
        panel_kinds.lines(
            "GPU memory",
            "Memory in use, and what the GPU has.",
            [
                Query("nv_gpu_memory_used_bytes", "{{gpu_uuid}} used"),
                Query("nv_gpu_memory_total_bytes", "{{gpu_uuid}} total"),
            ],
            unit="bytes",
        ),
        panel_kinds.lines(
            "CPU and memory of the machine",
            "As Triton reads them, of the machine or container that it runs in.",
            [
                Query("nv_cpu_utilization", "CPU"),
                Query("nv_cpu_memory_used_bytes / nv_cpu_memory_total_bytes", "memory"),
            ],
            unit="percentunit",
        ),
    )
