"""The functions that templates know, and how many arguments each takes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from tailrace.loadtest.requests.template.go_functions import GO_FUNCTIONS
from tailrace.loadtest.requests.template.list_functions import LIST_FUNCTIONS
from tailrace.loadtest.requests.template.number_functions import NUMBER_FUNCTIONS
from tailrace.loadtest.requests.template.random_functions import RANDOM_FUNCTIONS
from tailrace.loadtest.requests.template.text_functions import TEXT_FUNCTIONS

# Later ones hide earlier ones of the same name: sprig's `slice` Go's.
_MORE = TEXT_FUNCTIONS | NUMBER_FUNCTIONS | LIST_FUNCTIONS | RANDOM_FUNCTIONS
_LAZY = ("and", "or")


@dataclass(frozen=True, slots=True)
class KnownFunction:
    """A function that templates know.

    Attributes:
        name: as templates have it.
        call: what it does; random ones take first where the randomness comes from.
        random: True if it is one of these.
        least: fewest arguments that it takes.
        most: most of them; infinite where there is no bound.
    """

    name: str
    call: Callable[..., object]
    random: bool
    least: int
    most: float


def find_function(name: str, *, all_of_them: bool) -> KnownFunction:
    """Returns a function.

    Args:
        name: as templates have it.
        all_of_them: False for Go's own only (`--disable-template-functions`).

    Raises:
        LookupError: there is none; the error says what there is.
    """
    known = GO_FUNCTIONS | _MORE if all_of_them else GO_FUNCTIONS
    if name not in known:
        if name in _MORE:
            raise LookupError(f"function {name!r} is disabled")
        near = get_close_matches(name, [*known, *_LAZY], n=1, cutoff=0.7)
        instead = f", did you mean {near[0]!r}?" if near else ""
        raise LookupError(f"there is no function {name!r} here{instead}")
    call = known[name]
    random = all_of_them and name in RANDOM_FUNCTIONS
    least, most = _counts(call)
    return KnownFunction(name, call, random, least - random, most - random)


def function_names() -> list[str]:
    """Returns the names of all functions, sorted."""
    return sorted({*GO_FUNCTIONS, *_MORE, *_LAZY})


def _counts(call: Callable[..., object]) -> tuple[int, float]:
    parameters = inspect.signature(call).parameters.values()
    positional = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    least = sum(one.default is one.empty for one in positional)
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return least, math.inf
    return least, len(positional)
