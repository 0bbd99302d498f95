"""Fixtures that every test may use: real servers, started when first asked for.

Each worker of pytest-xdist has servers of its own.
"""

import os
import signal

import pytest
from hypothesis import settings

from tests.support.alone import pytest_configure, pytest_runtest_protocol
from tests.support.event_world import start_events
from tests.support.feast_process import feast_process
from tests.support.feature_world import make_world
from tests.support.flights_fixtures import prepared_flights
from tests.support.keys_read import open_store
from tests.support.load_servers import certificates, load_server, start_load_server
from tests.support.mesh_fixtures import mesh, predictions, start_mesh, start_module_mesh
from tests.support.observed_fixtures import observed
from tests.support.placements import placed_mesh
from tests.support.prometheus_process import start_module_prometheus, start_prometheus
from tests.support.queue_fixtures import (
    open_test_queue,
    queue,
    queue_cluster,
    queue_redis,
    queue_settings,
    shared_queue_cluster,
    shared_queue_redis,
    start_queue_redis,
)
from tests.support.redis_fixtures import fresh_redis, redis_server, start_redis
from tests.support.triton_fixtures import start_triton, triton_server

# Of the processes that tests start, too: nobody is to wait long for spans.
os.environ.setdefault("TAILRACE_TRACES_INTERVAL_MS", "500")

__all__ = [
    "certificates",
    "feast_process",
    "fresh_redis",
    "load_server",
    "make_world",
    "mesh",
    "observed",
    "open_store",
    "open_test_queue",
    "placed_mesh",
    "predictions",
    "prepared_flights",
    "pytest_configure",
    "pytest_runtest_protocol",
    "queue",
    "queue_cluster",
    "queue_redis",
    "queue_settings",
    "redis_server",
    "shared_queue_cluster",
    "shared_queue_redis",
    "start_events",
    "start_load_server",
    "start_mesh",
    "start_module_mesh",
    "start_module_prometheus",
    "start_prometheus",
    "start_queue_redis",
    "start_redis",
    "start_triton",
    "triton_server",
]


@pytest.fixture(scope="session", autouse=True)
def heard_signals() -> None:
    """Has processes of tests hear SIGHUP and SIGINT, also where `nohup` or `&` ignores them.

    What is ignored stays so in processes that are started; what is handled does not.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


# How long an example takes is a matter of what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
