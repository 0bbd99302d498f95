"""Pages of what has names and is sorted by them."""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_SIZE = 100
MAX_SIZE = 1000


def page_of(names: Sequence[str], size: int, token: str) -> tuple[list[str], str]:
    """Returns the names of a page, and the token of the next one, empty on the last.

    The token is the last name of a page, so that what comes and goes meanwhile moves nothing.

    Args:
        names: all of them, sorted.
        size: most names; 0 means `DEFAULT_SIZE`, and more than `MAX_SIZE` is that.
        token: of the page before; empty for the first.
    """
    left = [name for name in names if name > token]
    page = left[: min(size or DEFAULT_SIZE, MAX_SIZE)]
    return page, page[-1] if len(page) < len(left) else ""
