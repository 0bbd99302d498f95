"""Files with a record per call, for the reports that list them."""

from __future__ import annotations

import tempfile
from types import TracebackType

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.details import Details, DetailsPart
from tailrace.loadtest.options.load_options import Format, LoadOptions

_LISTING = (Format.CSV, Format.HTML, Format.INFLUX_DETAILS, Format.JSON, Format.PRETTY)


class DetailsFiles:
    """The files of one run, one for each process.

    They have no name: load processes inherit them open, and once nobody has them open any more,
    also because all were killed, the kernel frees them.

    Attributes:
        parts: what each process has written; None where no report lists calls.
    """

    def __init__(self, options: LoadOptions, processes: int) -> None:
        """Opens them, if the run's report lists calls.

        Args:
            options: of the run.
            processes: how many processes make its load.

        Raises:
            LoadError: there is no place for them.
        """
        self.parts: list[DetailsPart | None] = [None] * processes
        if options.format in _LISTING:
            try:
                for place in range(processes):
                    # Whoever reads them closes them.
                    self.parts[place] = DetailsPart(tempfile.TemporaryFile(buffering=0))
            except OSError as error:
                self._close()
                raise LoadError(
                    f"{tempfile.gettempdir()} takes no temporary file: {error.strerror or error}",
                    f"--format {options.format} needs one; TMPDIR names another folder",
                ) from error

    def __enter__(self) -> DetailsFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._close()

    def whole(self) -> Details | None:
        """Returns what all processes wrote, for the caller to close; None if there is nothing."""
        parts = [part for part in self.parts if part is not None]
        return Details(parts) if parts else None

    def _close(self) -> None:
        for part in self.parts:
            if part is not None:
                part.file.close()
