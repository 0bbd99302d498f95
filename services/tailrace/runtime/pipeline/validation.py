"""From what pydantic reports to problems that say where, what was found, and what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

from tailrace.runtime.pipeline.base import PATTERN_TEXTS, Misfit, shown
from tailrace.runtime.pipeline.problem import Problem, nearest
from tailrace.runtime.pipeline.spec_types import inside, tags_of, with_tag

Path = tuple[Any, ...]

MAX_TOLD = 200
"""Most problems of a file that are worked out: nobody reads more, and each takes its time."""

_MAPPING = "a mapping of names to values"
_INSTANT = "an instant such as 2013-01-01T05:00:00Z"
# What each of pydantic's error types asks for; `{}` is filled in from the error's context.
_EXPECTED = {
    "string_type": "text",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "datetime_type": _INSTANT,
    "datetime_parsing": _INSTANT,
    "datetime_from_date_parsing": _INSTANT,
    "datetime_object_invalid": _INSTANT,
    "greater_than": "a number above {gt:.15g}",
    "greater_than_equal": "a number of at least {ge:.15g}",
    "less_than": "a number below {lt:.15g}",
    "less_than_equal": "a number of at most {le:.15g}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "invalid_key": "a name; put it in quotes",
}
_KINDS: dict[Any, str] = {
    str: "text", int: "an integer", float: "a number", bool: "true or false",
    list: "a list", tuple: "a list", dict: _MAPPING,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Finding:
    """One error of pydantic's, found again in the content.

    Attributes:
        detail: the error.
        path: where in the content it lies; the last part may be missing from it.
        text: the path as text.
        value: what stands there.
        members: the types that may stand there.
        union_at: length of the path at which a union begins, None if there is none.
        branch: the member of that union that reports the error.
    """

    detail: Any
    path: Path
    text: str
    value: object
    members: tuple[Any, ...]
    union_at: int | None
    branch: object


def problems_of(model: type[BaseModel], content: object, error: ValidationError) -> list[Problem]:
    """Returns what is wrong with the content of a file.

    Args:
        model: what the content was held against.
        content: as parsed.
        error: as raised.
    """
    details = error.errors(include_url=False)
    findings = [_locate(model, content, detail) for detail in details[:MAX_TOLD]]
    findings = [finding for finding in findings if _counts(finding, findings)]
    problems = [_problem(model, content, finding) for finding in findings]
    # A misspelt name is one problem, not an unknown name and a missing one.
    unknown = {
        (finding.path[:-1], problem.suggestion)
        for finding, problem in zip(findings, problems, strict=True)
        if finding.detail["type"] == "extra_forbidden"
    }
    told = _merged(
        problem
        for finding, problem in zip(findings, problems, strict=True)
        if finding.detail["type"] != "missing"
        or (finding.path[:-1], str(finding.path[-1])) not in unknown
    )
    if len(details) > MAX_TOLD:
        told.append(Problem("", f"{len(details) - MAX_TOLD} more problems", "none"))
    return told


def _locate(model: type[BaseModel], content: object, detail: Any) -> _Finding:
    # The location holds more than the content's own names: members of unions, and `[key]`.
    path: list[Any] = []
    text, union_at, branch = "", None, None
    value = content
    members: tuple[Any, ...] = (model,)
    location = [part for part in detail["loc"] if part != "[key]"]
    for place, part in enumerate(location):
        last = place == len(location) - 1
        tagged = with_tag(members, part)
        if tagged:
            members = tagged
            continue
        members = inside(members, part)
        if isinstance(value, list) and isinstance(part, int):
            text += f"[{part}]"
            value = value[part] if part < len(value) else None
        elif isinstance(value, dict) and (part in value or (last and detail["type"] == "missing")):
            # True and 1 are one name to a mapping, and pydantic tells 1.
            part = next((name for name in value if name == part), part)
            text += f".{part}" if text else str(part)
            value = value.get(part)
        else:
            if union_at is None:
                union_at, branch = len(path), part
            continue
        path.append(part)
    if "[key]" in detail["loc"]:
        value = path[-1]
    return _Finding(detail, tuple(path), text, value, members, union_at, branch)


def _counts(finding: _Finding, findings: Sequence[_Finding]) -> bool:
    # Of a union, the member counts that got furthest: a mapping is meant to be the member that
    # is a mapping, not the one that is text.
    if finding.union_at is None:
        return True
    union = finding.path[: finding.union_at]
    depths: dict[object, int] = {}
    for other in findings:
        if other.union_at == finding.union_at and other.path[: finding.union_at] == union:
            depth = len(other.path)
            depths[other.branch] = min(depths.get(other.branch, depth), depth)
    furthest = [branch for branch, depth in depths.items() if depth == max(depths.values())]
    if max(depths.values()) == finding.union_at:
        return finding.branch in furthest
    return finding.branch == furthest[0]


def _merged(problems: Iterable[Problem]) -> list[Problem]:
    # What several members of a union report of one place is one problem.
    merged: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        key = problem.path, problem.found
        known = merged.get(key)
        if known is None:
            merged[key] = problem
        elif problem.expected not in known.expected:
            expected = f"{known.expected}, or {problem.expected}"
            suggestion = known.suggestion or problem.suggestion
            merged[key] = Problem(problem.path, problem.found, expected, suggestion)
    return list(merged.values())


def _problem(model: type[BaseModel], content: object, finding: _Finding) -> Problem:
    detail, path = finding.detail, finding.text
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return _unknown_name(model, content, finding)
        case "missing":
            return Problem(path, "nothing", f"{_kind(finding.members)}: it is required")
        case "union_tag_not_found":
            return _no_tag(finding, context["discriminator"].strip("'"))
        case "union_tag_invalid":
            key = context["discriminator"].strip("'")
            return _one_of(f"{path}.{key}", context["tag"], _quoted(context["expected_tags"]))
        case "enum" | "literal_error":
            return _one_of(path, finding.value, _quoted(context["expected"]))
        case "string_pattern_mismatch":
            pattern = context["pattern"]
            expected = PATTERN_TEXTS.get(pattern, f"text that matches {pattern}")
            return Problem(path, shown(finding.value), expected)
    misfit = context.get("error")
    if isinstance(misfit, Misfit):
        where = (path + misfit.at).removeprefix(".")
        return Problem(where, misfit.found, misfit.expected, misfit.suggestion)
    return Problem(path, _found(finding), _expected(finding))


def _found(finding: _Finding) -> str:
    if finding.detail["type"] in ("too_short", "too_long"):
        count = finding.detail["ctx"]["actual_length"]
        return f"{count or 'no'} {'entry' if count == 1 else 'entries'}"
    return shown(finding.value)


def _expected(finding: _Finding) -> str:
    template = _EXPECTED.get(finding.detail["type"])
    if template is None:
        message: str = finding.detail["msg"]
        return message.removeprefix("Value error, ").removeprefix("Input should be ")
    expected = template.format(**finding.detail.get("ctx", {}))
    if expected == "text" and isinstance(finding.value, int | float | date):
        return "text: put it in quotes"
    return expected.replace(" 1 entries", " 1 entry").replace(" 1 characters", " 1 character")


def _one_of(path: str, found: object, names: Sequence[str]) -> Problem:
    expected = names[0] if len(names) == 1 else f"one of: {', '.join(names)}"
    return Problem(path, shown(found), expected, nearest(found, names))


def _quoted(text: str) -> list[str]:
    # pydantic lists names as 'a', 'b' or 'c'.
    return text.split("'")[1::2]


def _no_tag(finding: _Finding, key: str) -> Problem:
    tags = [tag for member in finding.members for tag in tags_of(member, key)]
    expected = f"{key}, one of: {', '.join(tags)}"
    names = list(finding.value) if isinstance(finding.value, dict) else []
    slip = next((name for name in names if nearest(name, [key])), None)
    if slip is None:
        return Problem(finding.text, f"no {key}", expected)
    return Problem(f"{finding.text}.{slip}", f"the unknown name {slip!r}", expected, key)


def _unknown_name(model: type[BaseModel], content: object, finding: _Finding) -> Problem:
    *above, name = finding.path
    known = list(dict.fromkeys(_names_at(model, finding.detail["loc"][:-1])))
    beside: Any = content
    for part in above:
        beside = beside[part]
    unused = [other for other in known if other not in beside]
    return Problem(
        finding.text,
        f"the unknown name {name!r}",
        f"one of: {', '.join(known)}",
        nearest(name, unused) or nearest(name, known),
    )


def _names_at(model: type[BaseModel], location: Sequence[Any]) -> Iterator[str]:
    members: tuple[Any, ...] = (model,)
    for part in location:
        members = with_tag(members, part) or inside(members, part)
    for member in members:
        for name, info in getattr(member, "model_fields", {}).items():
            yield info.alias or name


def _kind(members: Sequence[Any]) -> str:
    if any(isinstance(member, type) and issubclass(member, BaseModel) for member in members):
        return _MAPPING
    origins = [get_origin(member) or member for member in members]
    return next((_KINDS[origin] for origin in origins if origin in _KINDS), "a value")
