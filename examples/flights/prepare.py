"""Prepares the flight-delay example: static views, events, models, held-out flights.

    python examples/flights/prepare.py --out FOLDER

The folder then holds the static views and the events of the year as Parquet files, the Triton
model repository `models`, the trained trees as LightGBM writes them, held-out flights in
`held_out.parquet` and `replay.parquet`, and `facts.json` with what is known of the models. It is
there whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from preparation.calibration import quality
from preparation.data_set import (
    PIPELINE,
    PIPELINES,
    STATIC_PIPELINE,
    DataSet,
    load_tables,
    make_data_set,
)
from preparation.feature_matrix import load_example
from preparation.held_out import held_out_flights, replayed_days, sample_of
from preparation.model import PreparationFailed, TrainedModel, train_model
from preparation.output_folder import FACTS_FILE, output_folder
from preparation.progress import Progress
from preparation.triton_repository import add_models

# Column of the held-out files with what a pipeline's trees say.
_EXPECTED = {
    PIPELINE: "expected_probability",
    STATIC_PIPELINE: "expected_probability_static",
}


def main() -> int:
    """Returns 0 once the folder is made, 1 if what was made did not pass its checks."""
    arguments = _arguments()
    progress = Progress()
    try:
        with output_folder(arguments.out) as folder:
            facts = _prepare(folder, arguments.threads, progress)
            (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n")
            (folder / "figures.json").write_text(json.dumps(_figures(facts), indent=2) + "\n")
    except (PreparationFailed, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for text, figure in _figures(facts).items():
        progress(f"{text}: {figure}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    # More bring little, and on cores that others use, too, they cost: LightGBM's threads wait
    # for each other by spinning (seen: 150 s on two busy cores against 8 s on one thread).
    parser.add_argument("--threads", type=int, default=1, help="to train with (default: 1)")
    return parser.parse_args()


def _prepare(folder: Path, threads: int, progress: Progress) -> dict[str, Any]:
    """Returns what is known of the models, once everything else is in the folder."""
    example = load_example(PIPELINES)
    tables = load_tables(progress)
    for name, table in {**tables.views, **tables.events}.items():
        _write_parquet(table, folder / f"{name}.parquet")
    facts: dict[str, Any] = {}
    expected = {}
    for name, column in _EXPECTED.items():
        progress(f"{name}: running the ingest steps and looking up features")
        data = make_data_set(example.pipelines[name], example.events, tables)
        model = train_model(data, threads, progress)
        add_models(
            folder / "models",
            data.pipeline.spec.model.name,
            model.exported,
            model.network,
            len(data.columns),
        )
        model.booster.save_model(folder / f"{data.pipeline.spec.model.name}.txt")
        expected[column] = model.held_out
        if name == PIPELINE:
            expected["expected_answer"] = model.calibrated
        facts[name] = _facts(data, model)
    progress("writing the held-out flights")
    held_out = held_out_flights(tables.flights[data.held_out_rows], expected)
    _write_parquet(sample_of(held_out), folder / "held_out.parquet")
    replayed = replayed_days(held_out)
    _write_parquet(replayed, folder / "replay.parquet")
    for name, column in _EXPECTED.items():
        of_days = quality(replayed[column].to_numpy(), replayed["late"].to_numpy())
        facts[name]["replayed_uncalibrated"] = asdict(of_days)
    return {**facts, "seconds": round(progress.seconds, 1)}


def _write_parquet(table: pd.DataFrame, file: Path) -> None:
    columns = {}
    for name in table.columns:
        # A NaN stays a NaN: it is what the model is given, and not an absent value.
        values = pa.array(table[name], from_pandas=False)
        is_text = pa.types.is_large_string(values.type)
        columns[name] = values.cast(pa.string()) if is_text else values
    pq.write_table(pa.table(columns), file)


def _facts(data: DataSet, model: TrainedModel) -> dict[str, Any]:
    return {
        "pipeline_version": data.pipeline.version,
        "features": data.columns,
        "tree_rows": int(data.tree_rows.sum()),
        "calibration_rows": int(data.calibration_rows.sum()),
        "held_out": asdict(model.after),
        "held_out_uncalibrated": asdict(model.before),
        "held_out_waiting": asdict(model.waiting),
        "held_out_network": asdict(model.network_quality),
        "export_rows": model.export_rows,
        "export_difference": model.export_difference,
    }


def _figures(facts: dict[str, Any]) -> dict[str, str]:
    """Returns what is worth showing, by what it is."""
    windowed, static = facts[PIPELINE], facts[STATIC_PIPELINE]
    rows = windowed["held_out"]["rows"]
    return {
        f"AUC on all {rows:,} held-out flights": _both(windowed, static, "held_out"),
        "AUC on those that had not left when due": _both(windowed, static, "held_out_waiting"),
        "AUC on the flights of the days replayed": _both(windowed, static, "replayed_uncalibrated"),
    }


def _both(windowed: dict[str, Any], static: dict[str, Any], fact: str) -> str:
    return f"{windowed[fact]['auc']:.4f}, without windowed features {static[fact]['auc']:.4f}"


if __name__ == "__main__":
    sys.exit(main())
