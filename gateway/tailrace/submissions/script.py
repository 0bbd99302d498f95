"""Lua scripts that make the transitions of submissions, each in a file of its own."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name that Redis knows it by.

    Attributes:
        digest: SHA-1 of the source in hexadecimal, as EVALSHA wants it.
    """

    name: str
    source: str
    digest: str


@functools.cache
def load_script(name: str, *, prelude: bool = True) -> Script:
    """Returns `scripts/NAME.lua`, with the prelude before it unless it has none."""
    folder = resources.files("tailrace.submissions") / "scripts"
    source = (folder / f"{name}.lua").read_text()
    if prelude:
        source = f"{(folder / 'prelude.lua').read_text()}\n{source}"
    return Script(name, source, hashlib.sha1(source.encode()).hexdigest())
