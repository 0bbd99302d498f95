"""Whose fault an outcome is."""

from __future__ import annotations

import grpc

from tailrace.runtime.fault_codes import CALLERS_FAULTS, SERVICES_FAULTS


def test_every_code_is_somebodys_fault_but_ok() -> None:
    named = (*CALLERS_FAULTS, *SERVICES_FAULTS, "OK")

    assert sorted(named) == sorted(code.name for code in grpc.StatusCode)
