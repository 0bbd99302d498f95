"""What a load came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load came to.

    Attributes:
        view: name of the view.
        file: the file, or what else was read.
        generation: the generation that lookups read now.
        rows: number of its rows.
        bad_rows: number of rows refused, by reason.
        seconds: how long it took.
        unchanged: whether nothing was done, as the same had been loaded before, or nothing is
            new.
        incremental: whether only what was new was loaded.
        resumed_at: rows of the source that a load that died had done already.
        added: rows of new entities, of an incremental load.
        updated: rows that took the place of older ones, of an incremental load.
        outdated: rows that were older than what was stored, of an incremental load.
        watermark_us: the latest timestamp of all rows, microseconds since 1970, if they have any.
    """

    view: str
    file: str
    generation: int
    rows: int
    bad_rows: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    unchanged: bool = False
    incremental: bool = False
    resumed_at: int = 0
    added: int = 0
    updated: int = 0
    outdated: int = 0
    watermark_us: int | None = None

    def lasted(self, seconds: float) -> LoadReport:
        """Returns the report with how long the load took, in seconds."""
        return replace(self, seconds=seconds)

    def to_dict(self) -> dict[str, object]:
        """Returns the report as plain values, for JSON."""
        return asdict(self)
