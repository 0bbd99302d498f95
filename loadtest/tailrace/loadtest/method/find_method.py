"""Looks a method up in the files that declare it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

# The files below google/protobuf/ that messages use most come with protobuf itself.
from google.protobuf import (  # isort: skip  # noqa: F401
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.call_name import CallName
from tailrace.loadtest.method.method_spec import MethodSpec

_TOLD_NAMES = 8


def find_method(
    call: CallName, files: Mapping[str, FileDescriptorProto], place: str, remedy: str
) -> MethodSpec:
    """Returns a method with the files that it needs.

    Args:
        call: what to look for.
        files: by their names; those of google/protobuf/ may be missing.
        place: where they come from, for errors.
        remedy: what to do where a file is missing.

    Raises:
        LoadError: there is no such service or method, or a file that is imported is missing.
    """
    for file in files.values():
        for service in file.service:
            if _full_name(file.package, service.name) != call.service:
                continue
            methods = [method.name for method in service.method]
            if call.method not in methods:
                raise unknown_method(call, methods)
            needed = _with_imports(file.name, files, place, remedy)
            spec = MethodSpec(
                call.service, call.method, FileDescriptorSet(file=needed).SerializeToString()
            )
            _check(spec, place)
            return spec
    services = [
        _full_name(file.package, service.name)
        for file in files.values()
        for service in file.service
    ]
    raise unknown_service(call, services, place)


def unknown_service(call: CallName, services: Sequence[str], place: str) -> LoadError:
    """Returns the error that tells what there is instead."""
    hint = _instead(call.service, services, "services") or "it declares no service"
    return LoadError(f"{place} has no service {call.service!r}", hint)


def unknown_method(call: CallName, methods: Sequence[str]) -> LoadError:
    """Returns the error that tells what there is instead."""
    hint = _instead(call.method, methods, "methods") or "it has no methods"
    return LoadError(f"service {call.service} has no method {call.method!r}", hint)


def _instead(name: str, there: Sequence[str], kind: str) -> str:
    folded = {known.casefold(): known for known in there}
    near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    told = sorted(there)[:_TOLD_NAMES]
    more = f" and {len(there) - len(told)} more" if len(there) > len(told) else ""
    return f"its {kind}: {', '.join(told)}{more}" if told else ""


def _full_name(package: str, name: str) -> str:
    return f"{package}.{name}" if package else name


def _with_imports(
    name: str, files: Mapping[str, FileDescriptorProto], place: str, remedy: str
) -> list[FileDescriptorProto]:
    """Returns a file after all that it imports: a descriptor pool takes them in this order."""
    ordered: dict[str, FileDescriptorProto] = {}
    # A stack instead of recursion: (file, True once its imports are there).
    waiting = [(name, False)]
    while waiting:
        current, complete = waiting.pop()
        if current in ordered:
            continue
        file = files.get(current) or built_in_file(current)
        if file is None:
            importer = next(known.name for known in files.values() if current in known.dependency)
            raise LoadError(
                f"{place} lacks {current!r}, which {importer!r} imports",
                remedy,
            )
        if complete:
            ordered[current] = file
            continue
        waiting.append((current, True))
        waiting.extend((imported, False) for imported in file.dependency)
    return list(ordered.values())


def built_in_file(name: str) -> FileDescriptorProto | None:
    """Returns a file of google/protobuf/ that protobuf itself brings; None for any other."""
    if not name.startswith("google/protobuf/"):
        return None
    try:
        file = descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        return None
    copy = FileDescriptorProto()
    file.CopyToProto(copy)
    return copy


def _check(spec: MethodSpec, place: str) -> None:
    try:
        spec.descriptor  # noqa: B018
    except (TypeError, KeyError) as error:
        told = " ".join(str(error).split())
        raise LoadError(
            f"{place} does not fit together: {told}", "make it anew from files that belong together"
        ) from error
