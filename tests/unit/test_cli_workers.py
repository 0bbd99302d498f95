"""Workers of the gateway: their ports, and how often one is started again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tailrace.cli.workers.backoff import FIRST_S, LONGEST_S, STEADY_S, Backoff
from tailrace.cli.workers.supervisor import ports_of, run_workers
from tailrace.cli.workers.worker import WorkerPorts
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.start_error import StartError


def test_the_wait_doubles_up_to_a_bound() -> None:
    backoff = Backoff()
    waits = [backoff.after(0.0) for _ in range(20)]
    assert waits[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_S


def test_the_wait_is_short_again_after_a_good_while() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.after(0.0)
    assert backoff.after(STEADY_S - 1) == LONGEST_S
    assert backoff.after(STEADY_S) == FIRST_S
    assert backoff.after(0.0) == 2 * FIRST_S


def test_a_worker_takes_the_number_above_those_of_the_gateway() -> None:
    settings = GatewaySettings(workers=3, own_port=7000, metrics_port=9000)
    assert ports_of(settings, 50050, 3) == WorkerPorts(shared=50050, own=7003, metrics=9003)


def test_free_ports_stay_free_ports() -> None:
    settings = GatewaySettings(workers=3)
    assert ports_of(settings, 50050, 3) == WorkerPorts(shared=50050, own=0, metrics=0)


@pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")
def test_numbers_of_ports_that_are_too_high_are_refused() -> None:
    with pytest.raises(StartError, match="TAILRACE_OWN_PORT is too high for 3 workers"):
        run_workers(GatewaySettings(workers=3, own_port=65_533))


def test_the_parent_imports_neither_grpc_nor_numpy() -> None:
    program = (
        "import sys, tailrace.cli.main, tailrace.cli.serve, tailrace.cli.workers.supervisor\n"
        "print([name for name in ('grpc', 'google.protobuf', 'numpy') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.strip() == "[]"
