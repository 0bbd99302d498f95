"""Ports on the command line."""

from __future__ import annotations

import pytest
import typer

from tailrace.cli.port_options import parse_ports


def test_bare_port_is_the_gateways() -> None:
    assert parse_ports(["50051", "redis=6380", "triton=0"]) == {
        "gateway": 50051,
        "redis": 6380,
        "triton": 0,
    }


@pytest.mark.parametrize("text", ["x", "65536", "-1", "redis=", "gateway=1.5", ""])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not a port"):
        parse_ports([text])


def test_unknown_process_is_refused_with_the_known_ones() -> None:
    with pytest.raises(typer.BadParameter, match="there is no 'gatway'; there are gateway, "):
        parse_ports(["gatway=1"])
