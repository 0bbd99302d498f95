"""Reads ghz's configuration files, whose keys are the flags' names."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.flags import BY_NAME, Flag
from tailrace.loadtest.options.kinds import TEXT
from tailrace.loadtest.options.suggestion import suggest

_HOST = Flag("host", TEXT, "")
_CONFIG = "--config names a JSON or TOML file"
# Go's decoders look at no case where a name does not match in full.
_BY_FOLDED_NAME = {name.lower(): flag for name, flag in (BY_NAME | {"host": _HOST}).items()}
# What ghz has for files where it has something else for flags.
_FILE_DEFAULTS = {"concurrency_start": 1, "concurrency_step": 0}


def read_config(path: Path) -> dict[str, Any]:
    """Returns what a configuration file sets, by field of `LoadOptions`.

    Args:
        path: JSON, TOML or YAML, by its suffix; without one of theirs, whichever it is.

    Raises:
        LoadError: it cannot be read, or a key of it is unknown, or has a wrong value.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(
            f"configuration file {path}: {getattr(error, 'strerror', None) or error}",
            _CONFIG,
        ) from None
    return config_values(_parse(path, text), str(path))


def config_values(keys: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns what a configuration sets, by field of `LoadOptions`.

    Args:
        keys: by ghz's names. Empty texts, objects and arrays count as not there.
        where: what it comes from, for errors.

    Raises:
        LoadError: a key is unknown, there twice, or has a wrong value.
    """
    values: dict[str, Any] = {}
    for key, value in keys.items():
        flag = _BY_FOLDED_NAME.get(key.lower())
        if flag is None:
            meant = suggest(key)
            raise LoadError(
                f"{where}: there is no key {key!r}",
                f"did you mean {meant!r}?" if meant else "keys are the names of flags",
            )
        if flag.field in values:
            raise LoadError(f"{where}: {flag.name!r} is there twice", f"once as {key!r}")
        if value is None or value == "" or value == {} or value == []:
            continue
        values[flag.field] = _value(flag, value, where)
    return _FILE_DEFAULTS | values


def _value(flag: Flag, value: Any, where: str) -> Any:
    try:
        return flag.kind.from_file(value)
    except ValueError as error:
        raise LoadError(
            f"{where}: {flag.name}: {error}", f"it takes {flag.kind.expected}"
        ) from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    readers = {".json": _json, ".toml": _toml, ".yaml": _yaml, ".yml": _yaml}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        reader = _json if text.lstrip().startswith("{") else _toml
    keys = reader(path, text)
    if not isinstance(keys, dict):
        raise LoadError(f"{path} holds no object", "its keys are the names of flags")
    return keys


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(path, pairs))
    except json.JSONDecodeError as error:
        raise LoadError(f"{path} is no JSON: {error}", _CONFIG) from None
    except RecursionError:
        raise LoadError(f"{path} is nested too deeply", _CONFIG) from None


def _unique(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise LoadError(
            f"{path}: {sorted(twice)[0]!r} is there twice", "one of the two is too many"
        )
    return dict(pairs)


def _toml(path: Path, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LoadError(f"{path} is no TOML: {error}", _CONFIG) from None


def _yaml(path: Path, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LoadError(f"{path} is no YAML: {' '.join(str(error).split())}", _CONFIG) from None
    except RecursionError:
        raise LoadError(f"{path} is nested too deeply", _CONFIG) from None
