"""Generates the Python stubs of the protos, beside them; `--check` tells whether they are fresh."""

from __future__ import annotations

import argparse
import filecmp
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
PACKAGE = Path("tailrace/v1")
STUB_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate(target: Path) -> None:
    """Writes the stubs of all protos below `target`.

    Raises:
        SystemExit: protoc refused the protos; it has said why on standard error.
    """
    protos = sorted((PROTOS / PACKAGE).glob("*.proto"))
    compile_protos(protos, f"--python_out={target}", f"--mypy_out=quiet:{target}")
    services = [proto for proto in protos if "\nservice " in proto.read_text()]
    compile_protos(services, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}")


def compile_protos(protos: list[Path], *outputs: str) -> None:
    """Runs protoc on `protos` with `outputs`, its `--*_out` arguments.

    Raises:
        SystemExit: protoc refused the protos; it has said why on standard error.
    """
    plugins = Path(sysconfig.get_path("scripts"))
    arguments = [
        "protoc",
        f"--proto_path={PROTOS}",
        # google/rpc/*.proto, which googleapis-common-protos installs beside its modules.
        f"--proto_path={sysconfig.get_path('purelib')}",
        # google/protobuf/*.proto.
        f"--proto_path={files('grpc_tools').joinpath('_proto')}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        *outputs,
    ]
    names = [str(proto.relative_to(PROTOS)) for proto in protos]
    if protoc.main(arguments + names) != 0:
        raise SystemExit("error: protoc failed")


def stub_names(root: Path) -> set[str]:
    """Names of the stubs below `root`."""
    return {path.name for pattern in STUB_PATTERNS for path in (root / PACKAGE).glob(pattern)}


def stale_stubs() -> list[str]:
    """Names of committed stubs that are missing, left over, or not what the protos give."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        names = stub_names(fresh) | stub_names(PROTOS)
        _, differing, unreadable = filecmp.cmpfiles(
            fresh / PACKAGE, PROTOS / PACKAGE, sorted(names), shallow=False
        )
    return sorted(differing + unreadable)


def replace_stubs() -> None:
    """Generates the stubs in place; those of protos that are gone go, too."""
    for name in stub_names(PROTOS):
        (PROTOS / PACKAGE / name).unlink()
    generate(PROTOS)


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if stale")
    if not parser.parse_args().check:
        replace_stubs()
        return 0
    stale = stale_stubs()
    for name in stale:
        print(f"stale stub: protos/{PACKAGE}/{name} (run `make protos`)", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
