"""Ports and numbers of replicas on the command line."""

from __future__ import annotations

import pytest
import typer

from tailrace.cli.port_options import parse_ports, parse_replicas


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


def test_a_further_replica_has_a_port_of_its_own() -> None:
    assert parse_ports(["ingest=1", "ingest-2=2"]) == {"ingest": 1, "ingest-2": 2}


@pytest.mark.parametrize("name", ["ingest-1", "ingest-x", "ingest-", "gateway-2", "redis-2"])
def test_what_is_no_further_replica_has_no_port(name: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"there is no '{name}'"):
        parse_ports([f"{name}=1"])


def test_replicas_are_read_by_hop() -> None:
    assert parse_replicas(["ingest=2", "features=3"]) == {"ingest": 2, "features": 3}


@pytest.mark.parametrize("text", ["ingest", "ingest=", "ingest=two", "ingest=-1", "2"])
def test_what_says_no_number_of_replicas_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="does not say HOP=NUMBER"):
        parse_replicas([text])
