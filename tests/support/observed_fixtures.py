"""A fixture with a whole mesh that a real Prometheus watches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.observed_mesh import ObservedMesh, observed_mesh
from tests.support.prometheus_process import prometheus_tool


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObservedMesh]:
    """A mesh through which everything has gone, and a Prometheus that has seen it come.

    All tests share it: any may send to it, and none may stop or change it.
    """
    prometheus_tool("prometheus")
    with observed_mesh(tmp_path_factory.mktemp("observed")) as observed:
        # Twice, as a rate takes two scrapes between which something happens.
        for _ in range(2):
            observed.drive()
            observed.wait_for_scrapes()
        yield observed
