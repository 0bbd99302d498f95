"""What Triton itself has counted: the proof that a model was, or was not, called."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tailrace.cli.local.local_triton import LocalTriton


def inference_count(server: LocalTriton, model: str) -> int:
    """Returns how many rows the model has inferred since the server started.

    Source: `nv_inference_count`, summed over the model's versions. Triton counts an
    inference a moment after it has answered.
    """
    return _total(server, "nv_inference_count", model)


def request_count(server: LocalTriton, model: str) -> int:
    """Returns how many requests reached the model, whether they succeeded or not."""
    return _total(server, "nv_inference_request_success", model) + _total(
        server, "nv_inference_request_failure", model
    )


def pending_count(server: LocalTriton, model: str) -> int:
    """Returns how many requests wait in the model's queue now."""
    return _total(server, "nv_inference_pending_request_count", model)


def _total(server: LocalTriton, metric: str, model: str) -> int:
    with urllib.request.urlopen(server.metrics_url, timeout=5) as reply:
        families = list(text_string_to_metric_families(reply.read().decode()))
    # The parser gives every counter the suffix that OpenMetrics wants and Triton leaves out.
    names = (metric, f"{metric}_total")
    return int(
        sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name in names and sample.labels.get("model") == model
        )
    )
