"""Who listens on which port of this machine."""

from __future__ import annotations

import psutil

from tailrace.cli.local.errors import PortInUse

LOOPBACK = "127.0.0.1"


def listening_ports(pid: int) -> frozenset[int]:
    """Returns the TCP ports on which the process listens; empty if it is gone."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return frozenset()
    return frozenset(c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN)


def port_holder(port: int) -> str:
    """Returns who listens on `port`, such as `redis-server, pid 4711`; empty if not known."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        # Not everyone may look at everyone's sockets.
        return ""
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or connection.laddr[1:] != (port,):
            continue
        if connection.pid is None:
            return ""
        try:
            return f"{psutil.Process(connection.pid).name()}, pid {connection.pid}"
        except psutil.Error:
            return ""
    return ""


def check_port_is_free(server: str, port: int) -> None:
    """Returns if nobody is known to listen on `port`, or if it is 0.

    It may still be taken before `server` gets it, and then binding it fails.

    Raises:
        PortInUse: if somebody does.
    """
    holder = port_holder(port) if port else ""
    if holder:
        raise PortInUse(server, host=LOOPBACK, port=port, holder=holder)
