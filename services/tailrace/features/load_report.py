"""What a load came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load came to.

    Attributes:
        view: name of the view.
        file: the file.
        generation: the generation that lookups read now.
        rows: number of its rows.
        bad_rows: number of rows refused, by reason.
        seconds: how long it took.
        unchanged: whether nothing was done, as the same had been loaded before.
    """

    view: str
    file: str
    generation: int
    rows: int
    bad_rows: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    unchanged: bool = False

    def to_dict(self) -> dict[str, object]:
        """Returns the report as plain values, for JSON."""
        return asdict(self)
