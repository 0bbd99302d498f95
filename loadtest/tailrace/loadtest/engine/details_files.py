"""Files with a record per call, for the reports that list them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from tailrace.loadtest.measure.details import merge_details
from tailrace.loadtest.options.load_options import Format, LoadOptions

_LISTING = (Format.CSV, Format.HTML, Format.INFLUX_DETAILS, Format.JSON, Format.PRETTY)


class DetailsFiles:
    """The files of one run: one for each process, then one for all.

    Whoever reads them after the run may remove them then; they are gone when the program ends.

    Attributes:
        parts: for each process the file that it writes; None where no report lists calls.
    """

    def __init__(self, options: LoadOptions, processes: int) -> None:
        """Makes a folder for them, if the run's report lists calls.

        Args:
            options: of the run.
            processes: how many processes make its load.
        """
        self.parts: list[Path | None] = [None] * processes
        self._folder: Path | None = None
        if options.format in _LISTING:
            self._folder = Path(tempfile.mkdtemp(prefix="tailrace-load-"))
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
            self.parts = [self._folder / str(place) for place in range(processes)]

    def __enter__(self) -> DetailsFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._folder is not None and error is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def merged(self) -> Path | None:
        """Returns one file with what all processes wrote; None where no report lists calls.

        Raises:
            LoadError: a process's file is not whole.
        """
        parts = [part for part in self.parts if part is not None]
        if len(parts) < 2:
            return parts[0] if parts else None
        whole = parts[0].with_name("all")
        merge_details(parts, whole)
        for part in parts:
            part.unlink()
        return whole
