"""How a method is named on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.loadtest.load_error import LoadError


@dataclass(frozen=True, slots=True)
class CallName:
    """A method's name, in its parts.

    Attributes:
        service: full name of the service, such as `tailrace.v1.PredictionService`.
        method: name of the method, such as `Predict`.
    """

    service: str
    method: str


def parse_call(call: str) -> CallName:
    """Returns the parts of `package.Service/Method` or `package.Service.Method`.

    A dot or a slash may stand before either.

    Raises:
        LoadError: it is neither.
    """
    text = call.strip().lstrip("/.")
    service, slash, method = text.rpartition("/")
    if not slash:
        service, _, method = text.rpartition(".")
    if service and method and "/" not in service and "." not in method:
        return CallName(service, method)
    if not text:
        raise LoadError("no method is named", "give one by --call package.Service/Method")
    raise LoadError(f"{call!r} is no method's name", "write it as package.Service/Method")
