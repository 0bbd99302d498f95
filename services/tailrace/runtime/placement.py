"""Where each hop runs, as settings and the command line say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Placement = Literal["local", "remote"]

HOPS = ("ingest", "features", "inference", "postprocess")


def parse_placement(text: str) -> Mapping[str, Placement]:
    """Returns the placement of each of the four hops.

    Args:
        text: `remote` (services of their own), `local` (inside the gateway's process), or
            several of the form `HOP=PLACEMENT` with commas between them; hops that are not
            named are remote.

    Raises:
        ValueError: it is none of these, or names a hop twice or one that does not exist.
    """
    places: dict[str, Placement] = {}
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and "=" not in parts[0]:
        return dict.fromkeys(HOPS, _place(parts[0], text))
    for part in parts:
        hop, equals, where = (word.strip() for word in part.partition("="))
        if not equals:
            raise ValueError(f"{part!r} does not say HOP=PLACEMENT, such as ingest=local")
        if hop not in HOPS:
            raise ValueError(f"{part!r}: there is no hop {hop!r}; there are {', '.join(HOPS)}")
        if hop in places:
            raise ValueError(f"{part!r}: {hop} is placed twice")
        places[hop] = _place(where, part)
    return {hop: places.get(hop, "remote") for hop in HOPS}


def check_placement(text: str) -> str:
    """Returns the text as it is if `parse_placement` takes it. Raises ValueError if not."""
    parse_placement(text)
    return text


def _place(where: str, text: str) -> Placement:
    if where == "local":
        return "local"
    if where == "remote":
        return "remote"
    raise ValueError(f"{text!r}: a hop is placed `local` or `remote`, not {where!r}")
