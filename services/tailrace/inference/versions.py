"""Which version of the model answers which row."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.pipeline.model_section import ModelSection, WeightedVersions

LATEST = ""
"""Stands for the highest version that is ready."""

_HASHES = 2**32


@dataclass(frozen=True, slots=True)
class VersionChoice:
    """The versions that a pipeline uses, and how its rows are shared out among them.

    Attributes:
        versions: version numbers, or LATEST; never empty.
        bounds: of each version but the last, where its share of the hash range ends.
        seed: keeps the split of one model apart from that of another.
    """

    versions: tuple[str, ...]
    bounds: tuple[int, ...] = ()
    seed: int = 0

    def assign(self, request_ids: Sequence[str]) -> NDArray[np.intp]:
        """Returns the place in `versions` for each request, the same for the same id, always.

        Args:
            request_ids: one per row; without an id all rows share one fate.
        """
        if len(self.versions) == 1:
            return np.zeros(len(request_ids), dtype=np.intp)
        seed = self.seed
        hashes = [zlib.crc32(request_id.encode(), seed) for request_id in request_ids]
        mixed = _mix(np.array(hashes, dtype=np.uint32))
        return np.searchsorted(np.array(self.bounds), mixed, side="right")


def choose_versions(model: ModelSection) -> VersionChoice:
    """Returns the choice that the model section of a pipeline file asks for."""
    if not isinstance(model.version, WeightedVersions):
        return VersionChoice((LATEST if model.version == "latest" else model.version,))
    weights = {version: weight for version, weight in model.version.weights.items() if weight > 0}
    shares = np.cumsum(list(weights.values())) / sum(weights.values())
    bounds = tuple(round(share * _HASHES) for share in shares[:-1].tolist())
    return VersionChoice(tuple(weights), bounds, seed=zlib.crc32(model.name.encode()))


def _mix(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    # The log samples by CRC32 alone: without this, the logged requests would all fall to one
    # version. It is the finaliser of MurmurHash3 (fmix32).
    values ^= values >> np.uint32(16)
    values *= np.uint32(0x85EBCA6B)
    values ^= values >> np.uint32(13)
    values *= np.uint32(0xC2B2AE35)
    values ^= values >> np.uint32(16)
    return values
