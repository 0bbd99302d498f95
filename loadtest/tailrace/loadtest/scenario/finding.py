"""One thing that a scenario found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        about: name of the load, or empty.
        text: in words, figures included.
        passed: whether it is good enough; None where nothing was asked of it.
        judged: False where something was asked of it, and nobody can tell; then `passed` is False.
        figures: for programs.
    """

    about: str
    text: str
    passed: bool | None
    figures: Mapping[str, Any] = field(default_factory=dict)
    judged: bool = True
