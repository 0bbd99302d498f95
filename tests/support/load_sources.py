"""Sources of requests for tests, of the methods of `load_protos/echo.proto`."""

from __future__ import annotations

from typing import Any

from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.request import RequestSource
from tailrace.loadtest.requests.source import make_source
from tests.support.load_messages import SERVICE, echo_files, message_class


def echo_method(name: str = "Echo") -> MethodSpec:
    """Returns a method: `Echo`, `Collect`, `Repeat` or `Chat`."""
    return MethodSpec(SERVICE, name, echo_files())


def source_of(method: str = "Echo", *, check: bool = True, **options: Any) -> RequestSource:
    """Returns what calls of a method send with these options."""
    whole = LoadOptions(host="nowhere:1", call=f"{SERVICE}/{method}", **options)
    return make_source(whole, echo_method(method), check=check)


def sent(source: RequestSource, number: int = 0, worker: int = 0) -> list[Any]:
    """Returns the messages that a call sends, as EchoRequests."""
    read = message_class("EchoRequest").FromString
    return [read(message) for message in source.request(number, worker).messages]


def texts(source: RequestSource, number: int = 0) -> list[str]:
    """Returns the texts of the messages that a call sends."""
    return [message.text for message in sent(source, number)]
