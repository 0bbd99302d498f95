"""The words of an action, as the parser takes them."""

from __future__ import annotations

from tailrace.loadtest.requests.template.lexer import Action, Kind, Word
from tailrace.loadtest.requests.template.template_error import TemplateError


class ActionWords:
    """The words of an action, which are taken one after the other."""

    def __init__(self, action: Action) -> None:
        self._words = action.words
        self._next = 0

    def peek(self) -> Word:
        """Returns the next word; at the end, the word that says so."""
        return self._words[self._next]

    def take(self) -> Word:
        """Takes the next word, which the end is not."""
        word = self._words[self._next]
        if word.kind is not Kind.END:
            self._next += 1
        return word

    def skip_space(self) -> bool:
        """Takes all space, and returns whether there was any."""
        found = False
        while self.peek().kind is Kind.SPACE:
            self.take()
            found = True
        return found

    def fields(self) -> tuple[str, ...]:
        """Takes all fields that follow each other, and returns their names."""
        names = []
        while self.peek().kind is Kind.FIELD:
            names.append(self.take().text[1:])
        return tuple(names)

    def finish(self) -> None:
        """Sees that there is nothing more.

        Raises:
            TemplateError: there is.
        """
        self.skip_space()
        if self.peek().kind is not Kind.END:
            raise unexpected(self.peek())

    def assigned(self, most: int) -> tuple[list[Word], str]:
        """Takes `$a :=`, `$a, $b :=` or `$a =`; none of it if it is not that."""
        start = self._next
        names: list[Word] = []
        while len(names) < most and self.peek().kind is Kind.VARIABLE:
            names.append(self.take())
            self.skip_space()
            if self.peek().text != ",":
                break
            self.take()
            self.skip_space()
        if names and self.peek().text in {":=", "="}:
            return names, self.take().text
        self._next = start
        return [], ""


def unexpected(word: Word) -> TemplateError:
    """Returns the error of a word that cannot stand where it does."""
    shown = repr(word.text) if word.text else "the action's end"
    return TemplateError(f"{shown} cannot stand here", word.offset)
