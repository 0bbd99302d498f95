"""Reads a template."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.loadtest.requests.template.action_words import ActionWords, unexpected
from tailrace.loadtest.requests.template.constants import read_constant
from tailrace.loadtest.requests.template.lexer import Action, Kind, Word, pieces
from tailrace.loadtest.requests.template.nodes import (
    Block,
    Constant,
    Dot,
    Function,
    Group,
    Jump,
    Node,
    Operand,
    Pipeline,
    Show,
    Text,
    Tree,
    Variable,
)
from tailrace.loadtest.requests.template.template_error import TemplateError

_UNSUPPORTED = frozenset({"define", "template", "block"})
_CONSTANTS = frozenset({Kind.STRING, Kind.RAW, Kind.CHAR, Kind.NUMBER})


def parse(text: str) -> Tree:
    """Returns what a template consists of.

    Raises:
        TemplateError: it cannot be read, or uses what is not supported here: templates in
            templates.
    """
    return _Parser().parse(text)


@dataclass
class _Open:
    """A block that is not closed yet, and the variables that were known before it."""

    block: Block | None
    nodes: list[Node]
    known: dict[str, int]
    else_seen: bool = False
    # An `else if` is a block inside its block's else; one `end` closes both.
    chained: bool = False


@dataclass
class _Parser:
    tree: Tree = field(default_factory=Tree)
    known: dict[str, int] = field(default_factory=lambda: {"$": 0})
    open: list[_Open] = field(default_factory=list)

    def parse(self, text: str) -> Tree:
        self.open = [_Open(None, self.tree.nodes, self.known)]
        for piece in pieces(text):
            if isinstance(piece, str):
                self.open[-1].nodes.append(Text(piece))
            else:
                self._action(piece)
        last = self.open[-1]
        if last.block is not None:
            raise TemplateError(f"{{{{{last.block.kind}}}}} has no {{{{end}}}}", last.block.offset)
        return self.tree

    def _action(self, action: Action) -> None:
        words = ActionWords(action)
        words.skip_space()
        first = words.peek()
        if first.kind is not Kind.NAME:
            self.open[-1].nodes.append(Show(self._pipeline(words, top=True)))
            return
        match first.text:
            case "if" | "with" | "range":
                words.take()
                self._begin(first.text, words, action.offset, chained=False)
            case "else":
                words.take()
                self._else(words, action.offset)
            case "end":
                words.take()
                words.finish()
                self._end(action.offset)
            case "break" | "continue":
                words.take()
                words.finish()
                if not any(opened.block and opened.block.kind == "range" for opened in self.open):
                    raise TemplateError(f"{first.text} outside of a range", first.offset)
                self.open[-1].nodes.append(Jump(first.text, action.offset))
            case text if text in _UNSUPPORTED:
                raise TemplateError(f"{text!r} is not supported here", first.offset)
            case _:
                self.open[-1].nodes.append(Show(self._pipeline(words, top=True)))

    def _begin(self, kind: str, words: ActionWords, offset: int, *, chained: bool) -> None:
        before = self.known
        self.known = dict(before)
        block = Block(kind, self._pipeline(words, top=True, ranges=kind == "range"), offset)
        self.open[-1].nodes.append(block)
        self.open.append(_Open(block, block.body, before, chained=chained))

    def _else(self, words: ActionWords, offset: int) -> None:
        opened = self.open[-1]
        if opened.block is None or opened.else_seen:
            raise TemplateError("{{else}} without a block that it belongs to", offset)
        opened.else_seen = True
        opened.nodes = opened.block.otherwise
        words.skip_space()
        word = words.peek()
        if word.kind is Kind.NAME and word.text in {"if", "with"}:
            words.take()
            self._begin(word.text, words, offset, chained=True)
        else:
            words.finish()

    def _end(self, offset: int) -> None:
        while True:
            opened = self.open[-1]
            if opened.block is None:
                raise TemplateError("{{end}} without a block that it ends", offset)
            self.open.pop()
            self.known = opened.known
            if not opened.chained:
                return

    def _pipeline(self, words: ActionWords, *, top: bool, ranges: bool = False) -> Pipeline:
        """Reads up to the end of the action, or to the closing parenthesis of a group."""
        words.skip_space()
        offset = words.peek().offset
        slots, declares = self._assigned(words, ranges=ranges) if top else ((), False)
        commands: list[tuple[Operand, ...]] = []
        while True:
            commands.append(self._command(words))
            word = words.peek()
            if word.text == "|":
                words.take()
            elif word.kind is Kind.END and not top:
                raise TemplateError("a parenthesis is not closed", offset)
            elif word.text == ")" and top:
                raise TemplateError("a parenthesis is closed that was not opened", word.offset)
            else:
                break
        match commands:
            case [[Constant(None, place)]]:
                raise TemplateError("nil cannot stand alone", place)
        for command in commands[1:]:
            if isinstance(command[0], Constant):
                raise TemplateError(
                    "a constant cannot take what a pipe hands it", command[0].offset
                )
        return Pipeline(tuple(commands), slots, declares, offset)

    def _assigned(self, words: ActionWords, *, ranges: bool) -> tuple[tuple[int, ...], bool]:
        names, sign = words.assigned(2 if ranges else 1)
        if sign == ":=":
            slots = []
            for name in names:
                self.known[name.text] = self.tree.slots
                slots.append(self.tree.slots)
                self.tree.slots += 1
            return tuple(slots), True
        return tuple(self._slot(name) for name in names), False

    def _slot(self, word: Word) -> int:
        slot = self.known.get(word.text)
        if slot is None:
            raise TemplateError(f"there is no variable {word.text}", word.offset)
        return slot

    def _command(self, words: ActionWords) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while True:
            spaced = words.skip_space()
            word = words.peek()
            if word.kind is Kind.END or word.text in {"|", ")"}:
                break
            if operands and not spaced:
                raise TemplateError(f"a space is missing before {word.text}", word.offset)
            operands.append(self._operand(words))
        if not operands:
            raise TemplateError("a value is missing", words.peek().offset)
        return tuple(operands)

    def _operand(self, words: ActionWords) -> Operand:
        word = words.take()
        offset = word.offset
        if word.kind in _CONSTANTS:
            return Constant(read_constant(word), offset)
        match word.kind:
            case Kind.DOT:
                return Dot((), offset)
            case Kind.FIELD:
                return Dot((word.text[1:], *words.fields()), offset)
            case Kind.VARIABLE:
                return Variable(self._slot(word), words.fields(), offset)
            case Kind.NAME if word.text in {"true", "false", "nil"}:
                value = {"true": True, "false": False, "nil": None}[word.text]
                return Constant(value, offset)
            case Kind.NAME:
                return Function(word.text, words.fields(), offset)
        if word.text == "(":
            inner = self._pipeline(words, top=False)
            words.take()
            return Group(inner, words.fields(), offset)
        raise unexpected(word)
