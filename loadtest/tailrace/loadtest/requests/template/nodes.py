"""What a template is made of, once it is read. Offsets are characters from its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """A string, number, bool or nil."""

    value: object
    offset: int


@dataclass(frozen=True, slots=True)
class Dot:
    """`.`, with fields after it: `.A.B`."""

    fields: tuple[str, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`, `$` for the whole, with fields after it."""

    slot: int
    fields: tuple[str, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Function:
    """A function's name, with fields after it."""

    name: str
    fields: tuple[str, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Group:
    """A pipeline in parentheses, with fields after it."""

    pipeline: Pipeline
    fields: tuple[str, ...]
    offset: int


Operand: TypeAlias = Constant | Dot | Variable | Function | Group


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each of which is handed the result of the one before as its last argument.

    Attributes:
        commands: each is what is called, or the value itself, and its arguments.
        slots: variables that take the result: one, or two in a range.
        declares: False if they were there before (`=`).
    """

    commands: tuple[tuple[Operand, ...], ...]
    slots: tuple[int, ...]
    declares: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Text:
    """Text as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Show:
    """An action that shows a pipeline's result, or only keeps it in a variable."""

    pipeline: Pipeline


class Block:
    """`if`, `with` or `range`."""

    __slots__ = ("body", "kind", "offset", "otherwise", "pipeline")

    def __init__(self, kind: str, pipeline: Pipeline, offset: int) -> None:
        self.kind = kind
        self.pipeline = pipeline
        self.offset = offset
        self.body: list[Node] = []
        self.otherwise: list[Node] = []


@dataclass(frozen=True, slots=True)
class Jump:
    """`break` or `continue`."""

    kind: str
    offset: int


Node: TypeAlias = Text | Show | Block | Jump


@dataclass(slots=True)
class Tree:
    """A template that was read.

    Attributes:
        nodes: in order.
        slots: how many variables it has, `$` among them.
    """

    nodes: list[Node] = field(default_factory=list)
    slots: int = 1
