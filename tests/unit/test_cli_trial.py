"""Trying a mesh: the rows, the figures, and when it has failed."""

from __future__ import annotations

import dataclasses
import datetime
import io
import math
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tailrace.cli.example import HeldOutSection
from tailrace.cli.held_out import HeldOutRow, read_held_out, spread
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.progress import Steps
from tailrace.cli.trial import TrialFailed, try_mesh
from tailrace.cli.trial_result import Outcome, Trial
from tailrace.client import AsyncClient, Ledger, LedgerEntry, Prediction, Quality

SECTION = HeldOutSection(
    file=Path("held_out.parquet"), pipeline="tiny", label="late", score="probability"
)


def outcome(positive: bool, score: float, latency_ms: float) -> Outcome:
    """Returns a row with its prediction, made in one hop that took half of the latency."""
    entry = LedgerEntry(
        hop="inference",
        start_ms=0.0,
        duration_ms=latency_ms / 2,
        queue_ms=0.0,
        network_ms=0.0,
        work_ms=latency_ms / 2,
        attempts=1,
        budget_ms=100.0,
        placement="remote",
        critical=True,
        code=grpc.StatusCode.OK,
    )
    prediction = Prediction(
        values={"probability": score},
        quality=Quality.LIVE,
        quality_reasons=(),
        pipeline="tiny",
        pipeline_version="1",
        model_name="tiny",
        model_version="1",
        request_id="",
        ledger=Ledger((entry,), latency_ms, latency_ms / 2, 1000.0, 0.0, 1),
    )
    return Outcome(HeldOutRow({}, positive), prediction, latency_ms)


def trial_of(*outcomes: Outcome, measured: int | None = None) -> Trial:
    """Returns a trial with those outcomes, the first `measured` of them asked one at a time."""
    return Trial(
        outcomes=outcomes,
        measured=outcomes[:measured],
        failures={},
        score="probability",
        seconds=1.0,
    )


def test_percentiles_are_of_the_calls_made_one_at_a_time() -> None:
    calls = [outcome(False, 0.5, float(latency)) for latency in range(100, 0, -1)]
    trial = trial_of(*calls, outcome(False, 0.5, 1e6), measured=100)
    assert (trial.latency_ms(50), trial.latency_ms(99), trial.latency_ms(100)) == (51, 100, 100)
    assert trial.hop_ms() == {"inference": pytest.approx(25.25)}
    assert trial.unattributed_share == 0.5


def test_auc_and_base_rate_are_of_all_rows() -> None:
    trial = trial_of(outcome(True, 0.9, 1.0), outcome(False, 0.1, 1.0), outcome(False, 0.2, 1.0))
    assert trial.auc == 1
    assert trial.base_rate == pytest.approx(1 / 3)
    assert trial.qualities == {"LIVE": 3}


def test_auc_of_one_class_is_unknown() -> None:
    assert math.isnan(trial_of(outcome(True, 0.9, 1.0)).auc)


def test_difference_from_offline_is_of_live_answers_that_were_expected() -> None:
    live = [outcome(True, score, 1.0) for score in (0.5, 0.6)]
    expected = [dataclasses.replace(each, row=HeldOutRow({}, True, expected=0.75)) for each in live]
    degraded = dataclasses.replace(expected[0].prediction, quality=Quality.DEFAULT_FEATURES)
    far_off = dataclasses.replace(degraded, values={"probability": 0.0})
    trial = trial_of(live[0], *expected, dataclasses.replace(expected[0], prediction=far_off))
    assert trial.offline_difference == 0.25
    assert trial_of(*live).offline_difference is None


async def test_mesh_that_does_not_answer_has_failed() -> None:
    steps = Steps(Console(file=io.StringIO()))
    rows = [HeldOutRow({"x": 1.0}, True)] * 3
    # Nobody can listen on port 0.
    async with AsyncClient("127.0.0.1:0") as client:
        with pytest.raises(TrialFailed, match="3 of 3 predictions failed: 3 UNAVAILABLE"):
            with steps.step("trying") as step:
                await try_mesh(client, "tiny", rows, "probability", step)


def test_rows_hold_the_fields_of_the_pipeline_alone(tmp_path: Path) -> None:
    departure = datetime.datetime(2013, 9, 1, 12, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "origin": pa.array(["JFK", None]),
            "departure": pa.array([departure] * 2),
            "late": pa.array([True, False]),
            "truth": pa.array([0.1, 0.2]),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = read_held_out(tmp_path / "rows.parquet", SECTION, {"origin", "departure"}, 10)
    expected = [
        HeldOutRow({"origin": "JFK", "departure": departure}, True),
        HeldOutRow({"departure": departure}, False),
    ]
    assert sorted(rows, key=lambda row: not row.positive) == expected


def test_rows_are_spread_and_always_the_same(tmp_path: Path) -> None:
    numbers = list(range(1000))
    table = pa.table({"number": numbers, "late": [True] * 1000})
    pq.write_table(table, tmp_path / "rows.parquet")

    def read() -> list[int]:
        rows = read_held_out(tmp_path / "rows.parquet", SECTION, {"number"}, 10)
        return [row.fields["number"] for row in rows]

    assert read() == read()
    assert sorted(read()) == list(range(0, 1000, 100))
    assert read() != sorted(read())


def test_all_rows_are_taken_where_there_are_few() -> None:
    assert spread([1, 2, 3], 5) == [1, 2, 3]
    assert spread([1, 2, 3, 4], 2) == [1, 3]


def test_missing_label_is_told_with_the_columns_there_are(tmp_path: Path) -> None:
    pq.write_table(pa.table({"number": [1], "lat": [True]}), tmp_path / "rows.parquet")
    with pytest.raises(LaunchError, match="no column 'late' for the label, only: number, lat"):
        read_held_out(tmp_path / "rows.parquet", SECTION, {"number"}, 1)
