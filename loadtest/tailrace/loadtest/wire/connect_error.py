"""What is said when no connection comes about, and what to do about it."""

from __future__ import annotations

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import LoadOptions

_HINTS = (
    ("certificate is not accepted", "--cacert names the authority, --cname the server's name"),
    ("wrong version number", "--insecure calls a server in plaintext"),
    ("record layer", "--insecure calls a server in plaintext"),
    ("certificate required", "the server wants --cert and --key"),
    ("wants TLS", "without --insecure, the call is made over TLS"),
    ("HTTP/1", "is it the port of a gRPC server?"),
    ("SETTINGS", "is it the port of a gRPC server?"),
    ("no such file", "is the server running, and is it the right path?"),
    ("refused", "is the server running, and is it the right port?"),
    ("too long", "--connect-timeout gives it more time"),
    ("too many open files", "ulimit -n allows more, or take fewer connections"),
)


def connect_error(options: LoadOptions, fault: str) -> LoadError:
    """Returns the error of a target that cannot be connected to.

    Args:
        options: whose target it is.
        fault: why the last attempt failed.
    """
    hint = next((hint for sign, hint in _HINTS if sign in fault), "")
    if not hint and ("closed the connection" in fault or "broke" in fault):
        hint = "is it a gRPC server? If it wants TLS, leave --insecure out"
        if not options.insecure:
            hint = "is it a gRPC server? If it asks for certificates, give it --cert and --key"
    return LoadError(f"cannot connect to {options.host}: {fault}", hint)
