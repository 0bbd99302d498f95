"""A template that is read once, and filled for each call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tailrace.loadtest.requests.template.call_data import CallData
from tailrace.loadtest.requests.template.evaluate import Evaluator, Value
from tailrace.loadtest.requests.template.nodes import (
    Block,
    Function,
    Jump,
    Node,
    Pipeline,
    Show,
    Text,
)
from tailrace.loadtest.requests.template.parser import parse
from tailrace.loadtest.requests.template.random_functions import PLAIN_FUNCTIONS
from tailrace.loadtest.requests.template.template_error import TemplateError
from tailrace.loadtest.requests.template.values import kind, show, truth

_Writer = Callable[[CallData, list[str]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Hole:
    """A place of a template that is filled.

    Attributes:
        value: what it is filled with; a block's is its text.
        silent: True if it leaves no text: it sets a variable.
        block: True if it is an `if`, `with` or `range`.
        plain: True if what it gives can stand in a JSON string as it is.
    """

    value: Value
    silent: bool = False
    block: bool = False
    plain: bool = False


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """A template.

    Attributes:
        text: as it was written.
        parts: text as it is, and holes, in order.
        slots: how many variables it has, `$` among them.
    """

    def __init__(self, text: str, *, functions: bool = True) -> None:
        """Reads a template.

        Args:
            text: what was written.
            functions: False where only Go's own functions are known.

        Raises:
            TemplateError: it cannot be read, or names what is not known.
        """
        self.text = text
        tree = parse(text)
        self.slots = tree.slots
        self._evaluator = Evaluator(functions=functions)
        self.parts: list[str | Hole] = [self._part(node) for node in tree.nodes]

    @property
    def holes(self) -> list[Hole]:
        """The places that are filled."""
        return [part for part in self.parts if isinstance(part, Hole)]

    def fill(self, data: CallData) -> str:
        """Returns the template's text for one call.

        Raises:
            TemplateError: a function is given what it cannot take.
        """
        data.reserve(self.slots)
        return "".join(
            part if isinstance(part, str) else show(part.value(data)) for part in self.parts
        )

    def _part(self, node: Node) -> str | Hole:
        match node:
            case Text(text):
                return text
            case Show(pipeline):
                value = self._evaluator.pipeline(pipeline, root=True)
                if pipeline.slots:
                    return Hole(_assigning(value, pipeline.slots), silent=True, plain=True)
                return Hole(value, plain=_plain(pipeline))
            case Block() | Jump():
                write = self._writer(node, root=True)

                def text_of_block(data: CallData) -> str:
                    out: list[str] = []
                    write(data, out)
                    return "".join(out)

                return Hole(text_of_block, block=True)

    def _writer(self, node: Node, *, root: bool) -> _Writer:
        match node:
            case Text(text):
                return lambda data, out: out.append(text)
            case Jump(kind_of_jump):
                jump = _Break if kind_of_jump == "break" else _Continue
                return _raiser(jump)
            case Show(pipeline):
                value = self._evaluator.pipeline(pipeline, root=root)
                if pipeline.slots:
                    return _silent(_keeping(value, pipeline.slots))
                return lambda data, out: out.append(show(value(data)))
            case Block():
                return self._block(node, root=root)

    def _block(self, block: Block, *, root: bool) -> _Writer:
        value = self._evaluator.pipeline(block.pipeline, root=root)
        inner = root and block.kind == "if"
        body = [self._writer(node, root=inner) for node in block.body]
        otherwise = [self._writer(node, root=root) for node in block.otherwise]
        slots = block.pipeline.slots
        if block.kind == "range":
            return _ranging(block, value, body, otherwise)
        if slots:
            value = _keeping(value, slots)
        binds = block.kind == "with"

        def write(data: CallData, out: list[str]) -> None:
            found = value(data)
            if not truth(found):
                _write_all(otherwise, data, out)
            elif binds:
                _write_all(body, data, out, dot=found)
            else:
                _write_all(body, data, out)

        return write


def _plain(pipeline: Pipeline) -> bool:
    if len(pipeline.commands) != 1:
        return False
    head = pipeline.commands[0][0]
    return isinstance(head, Function) and head.name in PLAIN_FUNCTIONS and not head.fields


def _silent(value: Value) -> _Writer:
    def write(data: CallData, out: list[str]) -> None:
        value(data)

    return write


def _raiser(jump: type[Exception]) -> _Writer:
    def leave(data: CallData, out: list[str]) -> None:
        raise jump

    return leave


def _keeping(value: Value, slots: tuple[int, ...]) -> Value:
    def keep(data: CallData) -> object:
        found = value(data)
        for slot in slots:
            data.variables[slot] = found
        return found

    return keep


def _assigning(value: Value, slots: tuple[int, ...]) -> Value:
    keep = _keeping(value, slots)

    def assign(data: CallData) -> object:
        keep(data)
        return ""

    return assign


_NOTHING = object()


def _write_all(
    writers: list[_Writer], data: CallData, out: list[str], dot: object = _NOTHING
) -> None:
    before = data.dot
    if dot is not _NOTHING:
        data.dot = dot
    try:
        for write in writers:
            write(data, out)
    finally:
        data.dot = before


def _ranging(block: Block, value: Value, body: list[_Writer], otherwise: list[_Writer]) -> _Writer:
    slots = block.pipeline.slots

    def write(data: CallData, out: list[str]) -> None:
        pairs = _pairs(value(data), block.offset)
        if not pairs:
            _write_all(otherwise, data, out)
        for key, item in pairs:
            if len(slots) == 2:
                data.variables[slots[0]] = key
            if slots:
                data.variables[slots[-1]] = item
            try:
                _write_all(body, data, out, dot=item)
            except _Break:
                break
            except _Continue:
                continue

    return write


def _pairs(value: object, offset: int) -> list[tuple[object, object]]:
    match value:
        case None:
            return []
        case list():
            return list(enumerate(value))
        case dict():
            return [(key, value[key]) for key in sorted(value)]
        case int() if not isinstance(value, bool):
            return [(place, place) for place in range(value)]
    raise TemplateError(f"{kind(value)} cannot be ranged over", offset)
