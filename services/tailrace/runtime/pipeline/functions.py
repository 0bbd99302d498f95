"""User functions named `module:function` in a pipeline file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tailrace.runtime.pipeline.load import Problem, SpecError, nearest

UserFunction = Callable[..., Any]


def resolve_function(reference: str, file: Path, path: str) -> UserFunction:
    """Returns the function that a pipeline file names.

    A module file in the pipeline's own folder comes before an installed module. It is loaded
    under a name that holds the digest of its text, so that each version of it stays as it was
    for the pipeline versions that use it.

    Args:
        reference: `module:function`.
        file: the pipeline file.
        path: where in the file the reference stands, for the error.

    Raises:
        SpecError: the module cannot be imported, or has no such function.
    """
    module_name, _, name = reference.partition(":")
    try:
        module = _module(module_name, file.parent)
    except (Exception, SystemExit) as error:  # user code may raise anything on import
        found = f"{module_name!r}, which fails to import: {type(error).__name__}: {error}"
        raise SpecError(file, [Problem(path, found, "an importable module")]) from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value)]
        problem = Problem(
            path, f"{name!r}", f"a function of module {module_name!r}", nearest(name, known)
        )
        raise SpecError(file, [problem])
    resolved: UserFunction = function
    return resolved


def _module(module_name: str, folder: Path) -> ModuleType:
    source = folder / f"{module_name.replace('.', '/')}.py"
    if not source.is_file():
        return importlib.import_module(module_name)
    digest = hashlib.sha256(str(source).encode() + b"\0" + source.read_bytes()).hexdigest()[:16]
    unique_name = f"tailrace_user_{digest}_{module_name.replace('.', '_')}"
    if unique_name in sys.modules:
        return sys.modules[unique_name]
    spec = importlib.util.spec_from_file_location(unique_name, source)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[unique_name]
        raise
    return module
