"""The values that a label may have, as the page of metrics says."""

from __future__ import annotations

import re

from tailrace.runtime.errors import Code, Reason
from tailrace.runtime.metric_catalogue import LABEL_VALUES, MetricEntry
from tailrace.v1 import prediction_service_pb2

# What the page refers to in place of listing it.
_REFERRED_TO = {
    "names of gRPC codes": {code.name for code in Code},
    "`tailrace.v1.Reason`": set(Reason.__members__),
    "`tailrace.v1.Quality`": {
        name.removeprefix("QUALITY_") for name in prediction_service_pb2.Quality.keys()
    },
    "`tailrace.v1.PredictionState`": {
        name.removeprefix("PREDICTION_STATE_")
        for name in prediction_service_pb2.PredictionState.keys()
    },
}


def values_said(entry: MetricEntry, label: str) -> set[str]:
    """Returns the values of a label, of which the page lists all or says which enumeration."""
    text = entry.values.get(label) or LABEL_VALUES[label]
    referred_to = [names for words, names in _REFERRED_TO.items() if words in text]
    return set(re.findall(r"`(\w+)`", text)).union(*referred_to)
