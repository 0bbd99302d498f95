"""The method from .proto files."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.call_name import CallName
from tailrace.loadtest.method.find_method import find_method
from tailrace.loadtest.method.method_spec import MethodSpec

_IMPORTS = "--import-paths names the folders where imports begin"
_PLACE = re.compile(r":[0-9]+:[0-9]+: ")
_COMPILE_S = 60.0


def method_of_proto(call: CallName, proto: Path, import_paths: Sequence[Path]) -> MethodSpec:
    """Returns a method that a .proto file declares, or one that it imports.

    Args:
        call: the method.
        proto: the file; looked for in `import_paths`, too.
        import_paths: where imports are looked for, before the file's own folder and the working
            directory. google/protobuf/ and google/rpc/ are
            always there.

    Raises:
        LoadError: a file cannot be found or compiled, or has no such method.
    """
    path = _found(proto, import_paths)
    folders = [*import_paths, path.parent, Path(), *_bundled()]
    with TemporaryDirectory(prefix="tailrace-load-") as folder:
        written = Path(folder, "protoset")
        # A process of its own: the compiler writes its errors past Python, to the descriptor.
        command = [sys.executable, "-m", "grpc_tools.protoc"]
        command += [f"--proto_path={one}" for one in dict.fromkeys(map(_named, folders))]
        command += [f"--descriptor_set_out={written}", "--include_imports", _named(path)]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_COMPILE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LoadError(
                f"{proto} takes longer than {_COMPILE_S:g} s to compile",
                "give what protoc makes of it: --protoset",
            ) from error
        if done.returncode:
            raise _compile_error(proto, done.stderr)
        files = FileDescriptorSet.FromString(written.read_bytes())
    return find_method(call, {file.name: file for file in files.file}, str(proto), _IMPORTS)


def _found(proto: Path, import_paths: Sequence[Path]) -> Path:
    for path in (proto, *(folder / proto for folder in import_paths)):
        if path.is_file():
            return path
    raise LoadError(f"there is no file {proto}", "--proto names the file that declares the method")


def _bundled() -> list[Path]:
    """Returns where googleapis-common-protos has google/rpc/, if it is installed."""
    found = find_spec("google.rpc")
    folders = found.submodule_search_locations if found is not None else None
    return [Path(folder).parents[1] for folder in folders or ()]


def _named(path: Path) -> str:
    # What begins with a dash would be a flag.
    text = str(path)
    return f"./{text}" if text.startswith("-") else text


def _compile_error(proto: Path, told: str) -> LoadError:
    lines = [" ".join(line.split()) for line in told.splitlines() if ": warning:" not in line]
    lines = [line for line in lines if line] or ["it cannot be compiled"]
    hint = _IMPORTS if any("File not found" in line for line in lines) else ""
    # A file that is missing is told without a place, and then the import with one.
    first = next((line for line in lines if _PLACE.search(line)), lines[0]).rstrip(".")
    more = len(lines) - 1
    rest = f", and {more} more error{'s' * (more > 1)}" if more else ""
    return LoadError(f"{proto} does not compile: {first}{rest}", hint)
