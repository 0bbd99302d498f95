"""Sections, figures and tables of the HTML report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tailrace.loadtest.report.html_element import Content, Html, element


def section(title: str, *content: Content, id_: str) -> Html:
    """Returns a section under a heading.

    Args:
        title: the heading.
        *content: what it holds.
        id_: what links lead to it by.
    """
    return element("section", element("h2", title), content, id=id_)


def note(*content: Content) -> Html:
    """Returns a remark in small print."""
    return element("p", content, class_="note")


def figure(drawing: Html, *, legend: Sequence[tuple[str, str]] = (), caption: str = "") -> Html:
    """Returns a drawing with what its colours mean, and what there is to see.

    Args:
        drawing: an SVG element.
        legend: class of the colour, and what it means.
        caption: what there is to see; may be empty.
    """
    keys = [
        element("li", element("span", class_=f"key {class_}", aria_hidden="true"), told)
        for class_, told in legend
    ]
    return element(
        "figure",
        element("ul", keys, class_="legend") if keys else "",
        element("div", drawing, class_="scroll"),
        element("figcaption", caption) if caption else "",
    )


def table(
    caption: str, headings: Sequence[str], rows: Iterable[Sequence[Content]], *, words: int = 1
) -> Html:
    """Returns a table that scrolls where there is no room for it.

    Args:
        caption: what it lists.
        headings: of its columns.
        rows: a cell for each column; the first one heads its row.
        words: so many columns hold words; the others hold figures.
    """
    kinds = ["words" if place < words else None for place in range(len(headings))]
    head = [
        element("th", told, scope="col", class_=kind)
        for told, kind in zip(headings, kinds, strict=True)
    ]
    body = []
    for first, *others in rows:
        cells = [element("th", first, scope="row", class_="words")]
        cells += [
            element("td", cell, class_=kind) for cell, kind in zip(others, kinds[1:], strict=True)
        ]
        body.append(element("tr", cells))
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", head)),
            element("tbody", body),
        ),
        class_="scroll",
    )


def fold(summary: str, *content: Content) -> Html:
    """Returns content that is shown when asked for, and not printed."""
    return element("details", element("summary", summary), content)
