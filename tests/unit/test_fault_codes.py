"""Whose fault an outcome is."""

from __future__ import annotations

import grpc

from tailrace.runtime.fault_codes import CALLERS_CODES, CALLERS_FAULTS, SERVICES_FAULTS


def test_every_code_is_somebodys_fault_but_ok() -> None:
    named = (*CALLERS_FAULTS, *SERVICES_FAULTS, "OK")

    assert sorted(named) == sorted(code.name for code in grpc.StatusCode)


def test_numbers_of_codes_are_those_of_their_names() -> None:
    numbers = {code.value[0] for code in grpc.StatusCode if code.name in CALLERS_FAULTS}

    assert numbers == CALLERS_CODES
