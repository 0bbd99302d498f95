"""Finds the method that the options name."""

from __future__ import annotations

from tailrace.loadtest.method.call_name import parse_call
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.method.reflection import method_by_reflection
from tailrace.loadtest.options.load_options import LoadOptions


def resolve_method(options: LoadOptions) -> MethodSpec:
    """Returns the method to call, from a .proto file, a protoset, or the server itself.

    Raises:
        LoadError: it cannot be had, with what there is instead.
    """
    return method_by_reflection(parse_call(options.call), options)
