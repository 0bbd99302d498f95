"""Who listens on which port."""

from __future__ import annotations

import os
import socket

import pytest

from tailrace.cli.local.errors import PortInUse
from tailrace.cli.local.ports import check_port_is_free, listening_ports, port_holder


def test_port_that_this_process_listens_on_is_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in listening_ports(os.getpid())
        assert port_holder(port).endswith(f"pid {os.getpid()}")
        with pytest.raises(PortInUse, match=f"gateway cannot listen on 127.0.0.1:{port}"):
            check_port_is_free("gateway", port)


def test_port_0_is_always_free() -> None:
    check_port_is_free("gateway", 0)


def test_process_that_is_gone_listens_nowhere() -> None:
    assert listening_ports(2**22 + 1) == frozenset()
