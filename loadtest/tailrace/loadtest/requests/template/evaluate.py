"""Makes functions of the values that a template's actions have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter

from tailrace.loadtest.requests.template.call_data import VARIABLES, CallData
from tailrace.loadtest.requests.template.fields import field_of, unknown_variable
from tailrace.loadtest.requests.template.functions import KnownFunction, find_function
from tailrace.loadtest.requests.template.nodes import (
    Constant,
    Dot,
    Function,
    Group,
    Operand,
    Pipeline,
    Variable,
)
from tailrace.loadtest.requests.template.template_error import TemplateError
from tailrace.loadtest.requests.template.values import kind, truth

Value = Callable[[CallData], object]
_WRONG = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, MemoryError)


class _Constant:
    """The value of a constant: a function that has no need of the call."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __call__(self, data: CallData) -> object:
        return self.value


class Evaluator:
    """Turns pipelines into functions.

    Attributes:
        functions: False where only Go's own functions are known.
    """

    def __init__(self, *, functions: bool) -> None:
        self.functions = functions

    def pipeline(self, pipeline: Pipeline, *, root: bool) -> Value:
        """Returns the function of a pipeline's value; variables that it sets are not set.

        Args:
            pipeline: what was read.
            root: True where `.` is certainly the call's data.

        Raises:
            TemplateError: a name is not known, or a function has too few arguments or too many.
        """
        value: Value | None = None
        for command in pipeline.commands:
            value = self._command(command, value, root=root)
        assert value is not None
        return value

    def _command(self, command: Sequence[Operand], piped: Value | None, *, root: bool) -> Value:
        head, *rest = command
        if isinstance(head, Function) and not head.fields:
            return self._call(head, self._arguments(rest, piped, root=root))
        if not rest and piped is None:
            return self._operand(head, root=root)
        fields = () if isinstance(head, Constant) else head.fields
        if not fields:
            raise TemplateError("this is no function, and takes no arguments", head.offset)
        assert not isinstance(head, Constant)
        holder = self._operand(replace(head, fields=fields[:-1]), root=root)
        return _field(holder, fields[-1], self._arguments(rest, piped, root=root), head.offset)

    def _arguments(
        self, operands: Sequence[Operand], piped: Value | None, *, root: bool
    ) -> list[Value]:
        values = [self._operand(operand, root=root) for operand in operands]
        return values if piped is None else [*values, piped]

    def _operand(self, operand: Operand, *, root: bool) -> Value:
        match operand:
            case Constant(value):
                return _Constant(value)
            case Dot(fields, offset):
                if root and fields:
                    return _fields(_variable_of_call(fields[0], offset), fields[1:], offset)
                return _fields(attrgetter("dot"), fields, offset)
            case Variable(0, fields, offset) if fields:
                return _fields(_variable_of_call(fields[0], offset), fields[1:], offset)
            case Variable(slot, fields, offset):
                return _fields(_slot(slot), fields, offset)
            case Function(_, fields, offset):
                return _fields(self._call(operand, []), fields, offset)
            case Group(pipeline, fields, offset):
                return _fields(self.pipeline(pipeline, root=root), fields, offset)

    def _call(self, function: Function, arguments: list[Value]) -> Value:
        if function.name in {"and", "or"}:
            return _first_that(arguments, function.name == "or", function.offset)
        try:
            known = find_function(function.name, all_of_them=self.functions)
        except LookupError as error:
            raise TemplateError(str(error.args[0]), function.offset) from None
        if not known.least <= len(arguments) <= known.most:
            raise TemplateError(
                f"{known.name} takes {_counted(known)}, and has {len(arguments)}", function.offset
            )
        return _called(known, arguments, function.offset)


def _counted(known: KnownFunction) -> str:
    if known.most == known.least:
        return f"{known.least} argument{'s' * (known.least != 1)}"
    return f"{known.least} {f'to {known.most}' if known.most < math.inf else 'or more'} arguments"


def _slot(slot: int) -> Value:
    return lambda data: data.variables[slot]


def _variable_of_call(name: str, offset: int) -> Value:
    if name not in VARIABLES:
        raise TemplateError(unknown_variable(name), offset)
    return VARIABLES[name]


def _fields(value: Value, names: Sequence[str], offset: int) -> Value:
    for name in names:
        value = _field(value, name, [], offset)
    return value


def _field(holder: Value, name: str, arguments: list[Value], offset: int) -> Value:
    def field(data: CallData) -> object:
        value = holder(data)
        try:
            return field_of(value, name, [argument(data) for argument in arguments])
        except _WRONG as error:
            raise _told(f".{name}", error, [value], offset) from error

    return field


def _first_that(arguments: list[Value], wanted: bool, offset: int) -> Value:
    if not arguments:
        raise TemplateError(f"{'or' if wanted else 'and'} takes 1 or more arguments", offset)

    def first(data: CallData) -> object:
        value: object = None
        for argument in arguments:
            value = argument(data)
            if truth(value) is wanted:
                break
        return value

    return first


def _called(known: KnownFunction, arguments: list[Value], offset: int) -> Value:
    work = known.call
    constants = [argument.value for argument in arguments if isinstance(argument, _Constant)]
    if len(constants) == len(arguments):

        def with_constants(data: CallData) -> object:
            try:
                return work(data.random, *constants) if known.random else work(*constants)
            except _WRONG as error:
                raise _told(known.name, error, constants, offset) from error

        return with_constants

    def called(data: CallData) -> object:
        values = [argument(data) for argument in arguments]
        try:
            return work(data.random, *values) if known.random else work(*values)
        except _WRONG as error:
            raise _told(known.name, error, values, offset) from error

    return called


def _told(name: str, error: Exception, values: Sequence[object], offset: int) -> TemplateError:
    if isinstance(error, ValueError | ArithmeticError) and str(error):
        return TemplateError(f"{name}: {error}", offset)
    given = ", ".join(map(kind, values)) or "no arguments"
    return TemplateError(f"{name} does not take {given}", offset)
