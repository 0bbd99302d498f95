"""Whether a report has the shape of ghz's."""

from __future__ import annotations

from pprint import pformat

from tests.support.ghz_reports.shapes import shape


def differences(form: str, genuine: str, ours: str) -> list[str]:
    """Returns how our report differs from ghz's of the same run; nothing if it does not.

    Args:
        form: one of `FORMATS`.
        genuine: ghz's report.
        ours: ours; what a summary tells below ghz's, and the key `tailrace`, do not count.
    """
    try:
        wanted, got = shape(form, genuine), shape(form, ours)
    except ValueError as error:
        return [str(error)]
    if form == "summary":
        got = got[: len(wanted) - 1] + [""]
    if wanted == got:
        return []
    lines, others = (pformat(told, width=100).split("\n") for told in (wanted, got))
    missing = [f"  ghz:  {line}" for line in lines if line not in others]
    added = [f"  ours: {line}" for line in others if line not in lines]
    return ["\n".join(["the shapes differ", *missing, *added])]
