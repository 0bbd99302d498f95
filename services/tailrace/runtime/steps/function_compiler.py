"""From a function step of a pipeline file to a step that runs."""

from __future__ import annotations

import inspect
from pathlib import Path

from tailrace.runtime.pipeline.functions import UserFunction, resolve_function
from tailrace.runtime.pipeline.ingest_steps import FunctionStep
from tailrace.runtime.pipeline.problem import SpecError
from tailrace.runtime.steps.column_types import ColumnTypes, StepRefused
from tailrace.runtime.steps.function_call import FunctionCallStep


def compile_function(step: FunctionStep, file: Path, types: ColumnTypes) -> FunctionCallStep:
    """Returns the step.

    Args:
        step: the step.
        file: the pipeline file; its folder is where modules are looked for first.
        types: knows where in the file the step stands.

    Raises:
        StepRefused: the function cannot be found or called.
    """
    if not step.inputs:
        # Without an array the function could not know how many rows there are.
        raise types.refused("inputs", "no column", "at least one")
    names = [output.name for output in step.outputs]
    if len(set(names)) != len(names):
        raise types.refused("outputs", "a name that occurs twice", "each name once")
    for output in step.outputs:
        if any(size < 1 for size in output.shape):
            raise types.refused("outputs", f"shape {output.shape}", "sizes of at least 1")
    try:
        function = resolve_function(step.function, file, f"{types.path}.function")
    except SpecError as error:
        raise StepRefused(error.problems) from error
    _check_call(step, function, types)
    return FunctionCallStep(step, function)


def _check_call(step: FunctionStep, function: UserFunction, types: ColumnTypes) -> None:
    if inspect.iscoroutinefunction(function):
        raise types.refused("function", "a coroutine function", "a plain function")
    try:
        signature = inspect.signature(function)
    except ValueError:
        # Some functions written in C do not tell theirs.
        return
    try:
        signature.bind(**dict.fromkeys(step.inputs))
    except TypeError as error:
        found = f"{step.function}{signature}"
        expected = f"a function to call with {', '.join(step.inputs)} by keyword"
        raise types.refused("function", found, expected) from error
