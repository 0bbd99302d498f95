"""Reads a command line as ghz does, whose flags are those of Go's kingpin."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.flags import BY_NAME, BY_SHORT, Flag
from tailrace.loadtest.options.kinds import PATH, SWITCH
from tailrace.loadtest.options.suggestion import suggest

_CONFIG = Flag("config", PATH, "")
_HELP = Flag("help", SWITCH, "", "h")
_VERSION = Flag("version", SWITCH, "", "v")
_LONG = BY_NAME | {flag.name: flag for flag in (_CONFIG, _HELP, _VERSION)} | {"help-long": _HELP}
_SHORT = BY_SHORT | {flag.short: flag for flag in (_HELP, _VERSION)}
_HELP_HINT = "--help lists all flags"


@dataclass(slots=True)
class CommandLine:
    """What a command line says.

    Attributes:
        values: by field of `LoadOptions`, what flags and the argument set.
        config: the configuration file.
        wants_help: --help was there.
        wants_version: --version was.
    """

    values: dict[str, Any] = field(default_factory=dict)
    config: Path | None = None
    wants_help: bool = False
    wants_version: bool = False


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Returns what a command line says.

    `--flag value`, `--flag=value`, `-f value`, `-fvalue` and `-f=value`, switches as `--switch`,
    `--no-switch` or `--switch=false`, short ones together as `-be`. `@FILE` stands for the lines
    of a file, and what comes after `--` for itself.

    Raises:
        LoadError: it cannot be understood.
    """
    return _Reader(arguments).read()


class _Reader:
    def __init__(self, arguments: Sequence[str]) -> None:
        self._words = deque(arguments)
        self._seen: set[str] = set()
        self._line = CommandLine()

    def read(self) -> CommandLine:
        while self._words:
            word = self._words.popleft()
            if word == "--":
                while self._words:
                    self._argument(self._words.popleft())
            elif word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and len(word) > 1:
                self._short(word)
            elif word.startswith("@") and len(word) > 1:
                self._words.extendleft(reversed(_lines(Path(word[1:]))))
            else:
                self._argument(word)
        return self._line

    def _argument(self, word: str) -> None:
        if "host" in self._line.values:
            raise LoadError(
                f"there are two hosts: {self._line.values['host']} and {word}",
                "values of flags that have spaces need quotes",
            )
        self._line.values["host"] = word.strip()

    def _long(self, word: str) -> None:
        name, has_value, value = word[2:].partition("=")
        flag = _LONG.get(name)
        if flag is None and _LONG.get(name.removeprefix("no-"), _CONFIG).kind is SWITCH:
            self._set(_LONG[name.removeprefix("no-")], word, False)
        elif flag is None:
            raise _unknown(f"--{name}", name)
        elif has_value:
            self._parse(flag, f"--{name}", value)
        elif flag.kind is SWITCH:
            self._set(flag, word, True)
        else:
            self._parse(flag, word, self._value(word))

    def _short(self, word: str) -> None:
        name = word[1:].partition("=")[0]
        if len(name) > 1 and name in _LONG:
            # Else -data would be -d with the value ata.
            raise LoadError(f"there is no flag -{name}", f"did you mean --{name}?")
        flag = _SHORT.get(word[1])
        if flag is None:
            raise _unknown(word[:2], name)
        if flag.kind is not SWITCH:
            value = word[2:].removeprefix("=") if len(word) > 2 else self._value(word)
            self._parse(flag, word[:2], value)
            return
        self._set(flag, word[:2], True)
        if len(word) > 2:
            self._words.appendleft(f"-{word[2:]}")

    def _value(self, name: str) -> str:
        # A dash may be a number's sign.
        if not self._words or (
            self._words[0].startswith("-") and not self._words[0][1:2].isdigit()
        ):
            raise LoadError(f"{name} needs a value", f"write one that begins with - as {name}=…")
        word = self._words.popleft()
        if not word.startswith("@") or len(word) == 1:
            return word
        lines = _lines(Path(word[1:]))
        if not lines:
            raise LoadError(
                f"{word[1:]}, which {name} is read from, is empty",
                "write the value into it, or give it in place of @FILE",
            )
        self._words.extendleft(reversed(lines[1:]))
        return lines[0]

    def _parse(self, flag: Flag, name: str, text: str) -> None:
        try:
            self._set(flag, name, flag.kind.from_text(text))
        except ValueError as error:
            raise LoadError(f"{name}: {error}", f"it takes {flag.kind.expected}") from None

    def _set(self, flag: Flag, name: str, value: Any) -> None:
        if flag.kind.repeatable:
            self._line.values[flag.field] = (*self._line.values.get(flag.field, ()), value)
            return
        if flag.name in self._seen:
            raise LoadError(f"{name} is there twice", f"--{flag.name} has one value")
        self._seen.add(flag.name)
        if flag is _CONFIG:
            self._line.config = value
        elif flag is _HELP:
            self._line.wants_help = value
        elif flag is _VERSION:
            self._line.wants_version = value
        else:
            self._line.values[flag.field] = value


def _unknown(shown: str, name: str) -> LoadError:
    negated, bare = name.startswith("no-"), name.removeprefix("no-")
    meant = suggest(bare)
    if not meant:
        return LoadError(f"there is no flag {shown}", _HELP_HINT)
    prefix = "no-" if negated and BY_NAME[meant].kind is SWITCH else ""
    return LoadError(f"there is no flag {shown}", f"did you mean --{prefix}{meant}?")


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(
            f"@{path}: {getattr(error, 'strerror', None) or error}",
            "@FILE stands for the lines of a file; write --flag=@… for a value that begins with @",
        ) from None
    return [line for line in lines if line.strip() and not line.startswith("#")]
