"""Prepares the flight-delay example: static views, models, held-out sample.

    python examples/flights/prepare.py --out FOLDER

The folder then holds the static views as Parquet files, the Triton model repository `models`,
the trained trees as LightGBM writes them, the sample `held_out.parquet`, and `facts.json` with
what is known of the model. It is there whole or not at all.
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

from preparation.data_set import DataSet, load_data_set
from preparation.held_out import held_out_sample
from preparation.model import PreparationFailed, TrainedModel, train_model
from preparation.output_folder import FACTS_FILE, output_folder
from preparation.progress import Progress
from preparation.triton_repository import write_repository


def main() -> int:
    """Returns 0 once the folder is made, 1 if what was made did not pass its checks."""
    arguments = _arguments()
    progress = Progress()
    try:
        with output_folder(arguments.out) as folder:
            data = load_data_set(progress)
            model = train_model(data, arguments.threads, progress)
            progress("writing views, models and the held-out sample")
            _write(folder, data, model, progress)
    except (PreparationFailed, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    progress(
        f"done: AUC {model.after.auc:.4f}, base rate {model.after.base_rate:.3f}, calibration "
        f"error {model.after.calibration_error:.4f}, export off by {model.export_difference:.1g}"
    )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    # More bring little, and on cores that others use, too, they cost: LightGBM's threads wait
    # for each other by spinning (seen: 150 s on two busy cores against 8 s on one thread).
    parser.add_argument("--threads", type=int, default=1, help="to train with (default: 1)")
    return parser.parse_args()


def _write(folder: Path, data: DataSet, model: TrainedModel, progress: Progress) -> None:
    for name, table in data.views.items():
        _write_parquet(table, folder / f"{name}.parquet")
    write_repository(folder / "models", model.exported, model.network, len(data.columns))
    model.booster.save_model(folder / "trees.txt")
    sample = held_out_sample(data.flights[data.held_out_rows], model.held_out)
    _write_parquet(sample, folder / "held_out.parquet")
    facts = _facts(data, model) | {"seconds": round(progress.seconds, 1)}
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n")


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
        "held_out_network": asdict(model.network_quality),
        "export_rows": model.export_rows,
        "export_difference": model.export_difference,
    }


if __name__ == "__main__":
    sys.exit(main())
