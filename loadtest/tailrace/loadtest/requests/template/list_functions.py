"""Sprig's functions of lists, dicts and defaults: https://masterminds.github.io/sprig/lists.html."""

from __future__ import annotations

from collections.abc import Callable

from tailrace.loadtest.requests.template.go_time import GoTime
from tailrace.loadtest.requests.template.values import go_text, kind, to_int


def _empty(value: object) -> bool:
    return not isinstance(value, GoTime) and not value


def _default(instead: object, value: object = None) -> object:
    return instead if _empty(value) else value


def _coalesce(*values: object) -> object:
    return next((value for value in values if not _empty(value)), None)


def _same(first: object, second: object) -> bool:
    # Python takes 1, 1.0 and True for equal.
    return type(first) is type(second) and first == second


def _in(value: object, among: list[object]) -> bool:
    return any(_same(value, item) for item in among)


def _has(value: object, among: list[object] | None) -> bool:
    if not isinstance(among, list | None):
        raise ValueError(f"{kind(among)} is no list")
    return _in(value, among or [])


def _of_list(work: Callable[..., object]) -> Callable[..., object]:
    """Returns a function that refuses what is no list, which Python would slice as well."""

    def checked(values: object, *others: object) -> object:
        if not isinstance(values, list):
            raise ValueError(f"{kind(values)} is no list")
        return work(values, *others)

    # What counts arguments asks what is underneath.
    checked.__wrapped__ = work  # type: ignore[attr-defined]
    return checked


def _uniq(values: list[object]) -> list[object]:
    kept: list[object] = []
    for value in values:
        if not _in(value, kept):
            kept.append(value)
    return kept


def _slice(values: list[object], *places: object) -> list[object] | None:
    if not values:
        return None
    start = to_int(places[0]) if places else 0
    end = to_int(places[1]) if len(places) > 1 else len(values)
    if not 0 <= start <= end <= len(values):
        raise ValueError(f"a list of {len(values)} has no slice from {start} to {end}")
    return values[start:end]


def _dict(*pairs: object) -> dict[str, object]:
    padded = (*pairs, "") if len(pairs) % 2 else pairs
    return {go_text(padded[at]): padded[at + 1] for at in range(0, len(padded), 2)}


def _set(values: dict[str, object], key: str, value: object) -> dict[str, object]:
    values[key] = value
    return values


def _unset(values: dict[str, object], key: str) -> dict[str, object]:
    values.pop(key, None)
    return values


def _fail(problem: str) -> object:
    raise ValueError(problem)


def _ternary(yes: object, no: object, condition: bool) -> object:
    return yes if condition else no


_LISTS: dict[str, Callable[..., object]] = {
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
    "rest": lambda values: values[1:] if values else None,
    "initial": lambda values: values[:-1] if values else None,
    "append": lambda values, value: [*values, value],
    "prepend": lambda values, value: [value, *values],
    "reverse": lambda values: values[::-1],
    "uniq": _uniq,
    "without": lambda values, *others: [item for item in values if not _in(item, list(others))],
    "compact": lambda values: [item for item in values if not _empty(item)],
    "slice": _slice,
}

_CHECKED = {"has": _has, **{name: _of_list(function) for name, function in _LISTS.items()}}

LIST_FUNCTIONS: dict[str, Callable[..., object]] = {
    "default": _default,
    "empty": _empty,
    "coalesce": _coalesce,
    "all": lambda *values: not any(map(_empty, values)),
    "any": lambda *values: not all(map(_empty, values)),
    "ternary": _ternary,
    "fail": _fail,
    "list": lambda *values: list(values),
    "tuple": lambda *values: list(values),
    "concat": lambda *lists: [item for values in lists for item in values],
    "push": _CHECKED["append"],
    "dict": _dict,
    "get": lambda values, key: values.get(key, ""),
    "set": _set,
    "unset": _unset,
    "hasKey": lambda values, key: key in values,
    "keys": lambda *dicts: [key for values in dicts for key in values],
    "values": lambda values: list(values.values()),
    "pick": lambda values, *names: {name: values[name] for name in names if name in values},
    "omit": lambda values, *names: {k: value for k, value in values.items() if k not in names},
    **_CHECKED,
    **{"must" + name[0].upper() + name[1:]: function for name, function in _CHECKED.items()},
}
