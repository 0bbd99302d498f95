"""Finds the method that the options name."""

from __future__ import annotations

from tailrace.loadtest.method.call_name import parse_call
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions


def resolve_method(options: LoadOptions) -> MethodSpec:
    """Returns the method to call, from a .proto file, a protoset, or the server itself.

    Raises:
        LoadError: it cannot be had. The error says what there is instead.
    """
    call = parse_call(options.call)
    # Each way brings modules that the others have no need of.
    if options.proto is not None:
        from tailrace.loadtest.method.proto_files import method_of_proto

        return method_of_proto(call, options.proto, options.import_paths)
    if options.protoset is not None:
        from tailrace.loadtest.method.protoset import method_of_protoset

        return method_of_protoset(call, options.protoset)
    from tailrace.loadtest.method.reflection import method_by_reflection

    return method_by_reflection(call, options)
